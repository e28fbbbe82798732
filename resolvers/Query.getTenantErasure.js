// Read the report of a tenant's erasure.
import { util } from '@aws-appsync/utils';
import * as ddb from '@aws-appsync/utils/dynamodb';
export function request(ctx) {
  return ddb.get({ key: { PK: `TENANT#${ctx.args.tenantId}`, SK: 'ERASURE' }, consistentRead: true });
}

export function response(ctx) {
  if (ctx.error) {
    util.error(ctx.error.message, ctx.error.type);
  }
  const item = ctx.result;
  if (!item || !isVisible(ctx, item)) {
    return null;
  }
  const { tenantId, status, startedAt, finishedAt, passes, erased } = item;
  return { tenantId, status, startedAt: isoTime(startedAt), finishedAt: isoTime(finishedAt), passes, erased };
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
