// Read one command.
import { util } from '@aws-appsync/utils';
import * as ddb from '@aws-appsync/utils/dynamodb';
export function request(ctx) {
  return ddb.get({ key: { PK: `DEV#${ctx.args.deviceId}`, SK: `COMMAND#${ctx.args.commandId}` } });
}

export function response(ctx) {
  if (ctx.error) {
    util.error(ctx.error.message, ctx.error.type);
  }
  const item = ctx.result;
  if (!item || !isVisible(ctx, item)) {
    return null;
  }
  return command(item);
}

function isVisible(ctx, item) {
  const tenantId = callerTenant(ctx, null);
  return tenantId === null || item.tenantId === tenantId;
}

// The tenant a caller belongs to, by what AppSync verified: an API key is the demo viewer, a person has a claim, a partner
// what the authorizer found, a service names it.
function callerTenant(ctx, named) {
  if (!ctx.identity) {
    return 'demo';
  }
  if (ctx.identity.claims) {
    const tenantId = ctx.identity.claims['custom:tenantId'];
    if (!tenantId) {
      util.unauthorized();
    }
    return tenantId;
  }
  if (ctx.identity.resolverContext) {
    return ctx.identity.resolverContext.tenantId ?? util.unauthorized();
  }
  if (!ctx.identity.accountId) {
    util.unauthorized();
  }
  return named;
}

function isoTime(epochMs) {
  return epochMs === undefined || epochMs === null ? null : util.time.epochMilliSecondsToISO8601(epochMs);
}

function command(item) {
  return {
    ...item,
    // JSON that the table cannot hold as values is kept as text.
    parameters: item.parametersJson ? JSON.parse(item.parametersJson) : item.parameters,
    reply: item.replyJson ? JSON.parse(item.replyJson) : item.reply,
    sentAt: isoTime(item.sentAt),
    timeoutAt: isoTime(item.timeoutAt),
    closedAt: isoTime(item.closedAt),
  };
}
