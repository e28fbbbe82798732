// Read the newest state of one device; a registered device without telemetry, or a removed one, has none.
import { util } from '@aws-appsync/utils';
import * as ddb from '@aws-appsync/utils/dynamodb';
export function request(ctx) {
  // The newest there is: clients subscribe, then query, and must miss nothing in between.
  return ddb.get({ key: { PK: `DEV#${ctx.args.deviceId}`, SK: 'STATE' }, consistentRead: true });
}

export function response(ctx) {
  if (ctx.error) {
    util.error(ctx.error.message, ctx.error.type);
  }
  const item = ctx.result;
  if (!item || !isVisible(ctx, item) || !item.ts || item.removedAt) {
    return null;
  }
  return deviceState(item);
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

function deviceState(item) {
  return {
    ...item,
    time: isoTime(item.ts),
    spans: null,
    summary: item.sampleCount > 1 ? item.spans : null,
  };
}
