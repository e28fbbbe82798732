// Flow 8/8, where fan-out is demand-aware: note what a subscriber waits for, before its subscription begins. Read by streams/interest.py.
import { util, runtime } from '@aws-appsync/utils';
import * as ddb from '@aws-appsync/utils/dynamodb';
// A connection lives 24 hours at most; the rest is for clocks that differ.
const VALID_S = 24 * 3600 + 900;
const IDS = '^[A-Za-z0-9:_.-]{1,128}$';

export function request(ctx) {
  const { deviceId, deviceIds, siteId, threshold } = ctx.args;
  const tenantId = callerTenant(ctx, ctx.args.tenantId);
  const devices = isGiven(deviceId) ? [deviceId] : isGiven(deviceIds) ? deviceIds : null;
  const ids = (devices ?? []).concat(isGiven(siteId) ? [siteId] : []);
  if (ids.some((id) => !util.matches(IDS, id))) {
    // Nothing can have such an id: nothing to wait for.
    runtime.earlyReturn(null);
  }
  const field = ctx.info.fieldName;
  const validUntil = util.time.nowEpochSeconds() + VALID_S;
  const item = { field, validUntil, ttl: validUntil + VALID_S, schemaVersion: 1 };
  let scope = '';
  if (devices !== null) {
    item.devices = devices;
    scope += `#DEV#${devices.join('#')}`;
  }
  if (isGiven(siteId)) {
    item.siteId = siteId;
    scope += `#SITE#${siteId}`;
  }
  if (isGiven(threshold)) {
    item.reading = threshold.reading;
    scope += `#PAST#${threshold.reading}`;
    // As text: a threshold may be a number that the table cannot hold.
    if (isGiven(threshold.above)) {
      item.above = `${threshold.above}`;
      scope += `#>${threshold.above}`;
    }
    if (isGiven(threshold.below)) {
      item.below = `${threshold.below}`;
      scope += `#<${threshold.below}`;
    }
  }
  // A service that names no tenant waits for all of them.
  return ddb.put({ key: { PK: `INTEREST#${tenantId ? tenantId : ''}`, SK: `${field}${scope}` }, item });
}

export function response(ctx) {
  if (ctx.error) {
    // Without the row fan-out would not publish: better no subscription than a silent one.
    util.error(ctx.error.message, ctx.error.type);
  }
  return null;
}

function isGiven(value) {
  return value !== undefined && value !== null;
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
