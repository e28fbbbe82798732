// Revoke a partner's token by its function, then end the subscriptions made with it.
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
      info: { parentTypeName: 'Mutation', fieldName: 'revokePartnerToken', variables: {} },
      stash: {},
    },
  };
}

export function response(ctx) {
  if (ctx.error) {
    util.error(ctx.error.message, ctx.error.type);
  }
  const { errorType, errorMessage, ...token } = ctx.result;
  if (errorType) {
    util.error(errorMessage, errorType);
  }
  const payload = { tokenId: token.tokenId };
  ['onDeviceState', 'onAlert', 'onCommand', 'onPresence', 'onDeviceRemoval'].forEach((subscriptionField) => {
    extensions.invalidateSubscriptions({ subscriptionField, payload });
  });
  return token;
}
