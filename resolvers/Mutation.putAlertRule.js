// Create or replace an alert rule; ingestion reads it within 15 seconds.
import { util } from '@aws-appsync/utils';
import * as ddb from '@aws-appsync/utils/dynamodb';

export function request(ctx) {
  const { input } = ctx.args;
  const tenantId = callerTenant(ctx, input.tenantId);
  if (!tenantId) {
    util.error('tenantId is required: a service belongs to no tenant', 'BadRequest');
  }
  const ruleId = input.ruleId ?? util.autoUlid();
  // The id becomes part of keys, where # separates.
  if (!util.matches('^[A-Za-z0-9_.:-]{1,64}$', ruleId)) {
    util.error(`ruleId is '${ruleId}', expected 1 to 64 of A-Z a-z 0-9 _ . : -`, 'BadRequest');
  }
  checkText('name', input.name, 128);
  checkText('reading', input.reading, 128);
  const item = {
    ruleId,
    tenantId,
    name: input.name,
    reading: input.reading,
    comparison: input.comparison,
    threshold: input.threshold,
    severity: input.severity,
    updatedAt: util.time.nowEpochMilliSeconds(),
    schemaVersion: 1,
  };
  if (input.hysteresis !== undefined && input.hysteresis !== null) {
    if (input.hysteresis < 0) {
      util.error(`hysteresis is ${input.hysteresis}, expected at least 0`, 'BadRequest');
    }
    item.hysteresis = input.hysteresis;
  }
  if (input.durationSeconds !== undefined && input.durationSeconds !== null) {
    if (input.durationSeconds < 0 || input.durationSeconds > 86400) {
      util.error(`durationSeconds is ${input.durationSeconds}, expected 0 to 86400`, 'BadRequest');
    }
    item.durationSeconds = input.durationSeconds;
  }
  if (input.deviceId) {
    checkId('deviceId', input.deviceId);
    item.deviceId = input.deviceId;
  }
  if (input.siteId) {
    checkId('siteId', input.siteId);
    item.siteId = input.siteId;
  }
  return ddb.put({ key: { PK: `TENANT#${tenantId}`, SK: `RULE#${ruleId}` }, item });
}

export function response(ctx) {
  if (ctx.error) {
    util.error(ctx.error.message, ctx.error.type);
  }
  return { ...ctx.result, updatedAt: isoTime(ctx.result.updatedAt) };
}

function checkId(name, id) {
  if (!util.matches('^[A-Za-z0-9:_.-]{1,128}$', id)) {
    util.error(`${name} is '${id.slice(0, 140)}', expected 1 to 128 of A-Z a-z 0-9 : _ . -`, 'BadRequest');
  }
}

function checkText(name, text, maximum) {
  if (text.length < 1 || text.length > maximum) {
    util.error(`${name} has ${text.length} characters, expected 1 to ${maximum}`, 'BadRequest');
  }
  if (!isText(text)) {
    util.error(`${name} holds half a surrogate pair`, 'BadRequest');
  }
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
