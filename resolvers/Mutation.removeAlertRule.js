// Remove an alert rule; ingestion forgets it within 15 seconds.
import { util } from '@aws-appsync/utils';
import * as ddb from '@aws-appsync/utils/dynamodb';

export function request(ctx) {
  const tenantId = callerTenant(ctx, ctx.args.tenantId);
  if (!tenantId) {
    util.error('tenantId is required: a service belongs to no tenant', 'BadRequest');
  }
  return ddb.remove({ key: { PK: `TENANT#${tenantId}`, SK: `RULE#${ctx.args.ruleId}` } });
}

export function response(ctx) {
  if (ctx.error) {
    util.error(ctx.error.message, ctx.error.type);
  }
  if (!ctx.result) {
    util.error(`there is no alert rule '${ctx.args.ruleId}'`, 'NotFound');
  }
  return { ...ctx.result, updatedAt: isoTime(ctx.result.updatedAt) };
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
