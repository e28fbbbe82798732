// Read the tenant's change log from a cursor on.
import { util, runtime } from '@aws-appsync/utils';
import * as ddb from '@aws-appsync/utils/dynamodb';

// Writers' clocks differ and their transactions take time: a change may appear behind one that was read already.
const OVERLAP_MS = 60000;

export function request(ctx) {
  const { tenantId: named, since, limit, nextToken } = ctx.args;
  const tenantId = callerTenant(ctx, named);
  if (!tenantId) {
    util.error('tenantId is required: a service belongs to no tenant', 'BadRequest');
  }
  const size = pageSize(limit, 25, 100);
  const cursor = `${util.time.nowEpochMilliSeconds() - OVERLAP_MS}`;
  ctx.stash.cursor = cursor;
  if (!since) {
    runtime.earlyReturn({ items: [], nextToken: null, cursor });
  }
  if (!util.matches('^[0-9]{13}$', since)) {
    util.error(`since is '${since.slice(0, 40)}', expected a cursor that deviceChanges gave`, 'BadRequest');
  }
  return ddb.query({
    query: { PK: { eq: `TENANT#${tenantId}` }, SK: { between: [`CHANGE#${since}`, 'CHANGE#~'] } },
    limit: size,
    nextToken,
  });
}

export function response(ctx) {
  if (ctx.error) {
    util.error(ctx.error.message, ctx.error.type);
  }
  return {
    items: ctx.result.items.map((item) => ({
      ...item,
      changedAt: util.time.epochMilliSecondsToISO8601(item.changedAt),
    })),
    nextToken: ctx.result.nextToken,
    cursor: ctx.stash.cursor,
  };
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

function pageSize(limit, standard, maximum) {
  const size = limit ?? standard;
  if (size < 1 || size > maximum) {
    util.error(`limit is ${size}, expected 1 to ${maximum}`, 'BadRequest');
  }
  return size;
}
