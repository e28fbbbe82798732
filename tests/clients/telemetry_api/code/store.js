import { util } from '@aws-appsync/utils';
import { put } from '@aws-appsync/utils/dynamodb';

export function request(ctx) {
  const { input } = ctx.args;
  return put({ key: { deviceId: input.deviceId, marker: input.marker ?? '-' }, item: input });
}

export function response(ctx) {
  if (ctx.error) util.error(ctx.error.message, ctx.error.type);
  return ctx.result;
}
