// Remove a device by its function, then end the subscriptions to it.
import { util, extensions } from '@aws-appsync/utils';

export function request(ctx) {
  return {
    operation: 'Invoke',
    payload: {
      arguments: ctx.args,
      identity: ctx.identity,
      source: null,
      request: { headers: {} },
      prev: null,
      info: { parentTypeName: 'Mutation', fieldName: 'removeDevice', variables: {} },
      stash: {},
    },
  };
}

export function response(ctx) {
  if (ctx.error) {
    util.error(ctx.error.message, ctx.error.type);
  }
  const { errorType, errorMessage, ...removal } = ctx.result;
  if (errorType) {
    util.error(errorMessage, errorType);
  }
  const payload = { deviceId: removal.deviceId };
  // The removal itself is told by onDeviceRemoval, whose subscribers stay.
  ['onDeviceState', 'onAlert', 'onCommand', 'onPresence'].forEach((subscriptionField) => {
    extensions.invalidateSubscriptions({ subscriptionField, payload });
  });
  return removal;
}
