// Take notice of an open alert: it leaves the index of open alerts, and the change reaches subscribers through the table's stream.
import { util } from '@aws-appsync/utils';
import * as ddb from '@aws-appsync/utils/dynamodb';

export function request(ctx) {
  const { deviceId, alertId, note } = ctx.args;
  if (note && note.length > 1000) {
    util.error(`note has ${note.length} characters, expected at most 1000`, 'BadRequest');
  }
  if (note && !isText(note)) {
    util.error('note holds half a surrogate pair', 'BadRequest');
  }
  const tenantId = callerTenant(ctx, null);
  const update = {
    status: 'ACKNOWLEDGED',
    acknowledgedAt: util.time.nowEpochMilliSeconds(),
    acknowledgedBy: ctx.identity.username ?? 'service',
    version: ddb.operations.increment(1),
    GSI2PK: ddb.operations.remove(),
    GSI2SK: ddb.operations.remove(),
  };
  if (note) {
    update.note = note;
  }
  const isOpen = { status: { eq: 'OPEN' } };
  return ddb.update({
    key: { PK: `DEV#${deviceId}`, SK: `ALERT#${alertId}` },
    update,
    condition: tenantId === null ? isOpen : { ...isOpen, tenantId: { eq: tenantId } },
  });
}

export function response(ctx) {
  if (ctx.error) {
    if (ctx.error.type === 'DynamoDB:ConditionalCheckFailedException') {
      util.error(`alert '${ctx.args.alertId}' of device '${ctx.args.deviceId}' is not open`, 'NotOpen');
    }
    util.error(ctx.error.message, ctx.error.type);
  }
  const item = ctx.result;
  return {
    ...item,
    openedAt: isoTime(item.openedAt),
    acknowledgedAt: isoTime(item.acknowledgedAt),
    resolvedAt: isoTime(item.resolvedAt),
  };
}

// Text that UTF-8 can hold: half a surrogate pair is no character, and what becomes of it differs from place to place.
function isText(text) {
  const units = text.split('');
  return !units.some((unit, place) => {
    const isHalf = unit >= '\uD800' && unit <= '\uDFFF';
    const isFirst = unit <= '\uDBFF';
    const other = isFirst ? (units[place + 1] ?? '') : (units[place - 1] ?? '');
    const isPair = isFirst ? other >= '\uDC00' && other <= '\uDFFF' : other >= '\uD800' && other <= '\uDBFF';
    return isHalf && !isPair;
  });
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
