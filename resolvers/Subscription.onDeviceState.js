// Flow 8/8: subscribe to device states: the tenant boundary, and what the arguments narrow.
import { util, extensions } from '@aws-appsync/utils';

export function request(ctx) {
  const { deviceId, deviceIds, threshold } = ctx.args;
  // A filter names each field once: AppSync refuses two rules on deviceId in one group.
  if (isGiven(deviceId) && isGiven(deviceIds)) {
    util.error('deviceId and deviceIds are both given, expected one of them', 'BadRequest');
  }
  if (isGiven(deviceIds) && (deviceIds.length < 1 || deviceIds.length > 5)) {
    util.error(`deviceIds has ${deviceIds.length} values, expected 1 to 5`, 'BadRequest');
  }
  if (isGiven(threshold) && !isGiven(threshold.above) && !isGiven(threshold.below)) {
    util.error('threshold needs above or below', 'BadRequest');
  }
  return { payload: null };
}

export function response(ctx) {
  const { deviceId, deviceIds, siteId, threshold } = ctx.args;
  const rules = equals('deviceId', deviceId).concat(oneOf('deviceId', deviceIds), equals('siteId', siteId));
  setFilter(ctx, rules, thresholdRules(threshold));
  endWith(partnerEnd(ctx).concat(equals('deviceId', deviceId)));
  return null;
}

function isGiven(value) {
  return value !== undefined && value !== null;
}

function oneOf(fieldName, values) {
  return isGiven(values) ? [{ fieldName, operator: 'in', value: values }] : [];
}

function thresholdRules(threshold) {
  if (!isGiven(threshold)) {
    return [];
  }
  const { reading, above, below } = threshold;
  const rules = [];
  if (isGiven(above)) {
    rules.push({ fieldName: `spans.${reading}.max`, operator: 'gt', value: above });
  }
  if (isGiven(below)) {
    rules.push({ fieldName: `spans.${reading}.min`, operator: 'lt', value: below });
  }
  return rules;
}

// An enhanced filter replaces the comparison of arguments, so every argument has its rule here. The tenant comes first in each group.
function setFilter(ctx, rules, alternatives) {
  const tenantId = callerTenant(ctx, ctx.args.tenantId);
  const always = (tenantId ? [{ fieldName: 'tenantId', operator: 'eq', value: tenantId }] : []).concat(rules);
  const groups = alternatives.length ? alternatives.map((rule) => ({ filters: always.concat([rule]) })) : [{ filters: always }];
  if (groups[0].filters.length) {
    extensions.setSubscriptionFilter({ filterGroup: groups });
  }
}

// removeDevice ends the subscriptions to that device, revokePartnerToken those made with the token.
function endWith(rules) {
  if (rules.length) {
    extensions.setSubscriptionInvalidationFilter({ filterGroup: rules.map((rule) => ({ filters: [rule] })) });
  }
}

function partnerEnd(ctx) {
  return ctx.identity && ctx.identity.resolverContext ? equals('tokenId', ctx.identity.resolverContext.tokenId) : [];
}

function equals(fieldName, value) {
  return value === undefined || value === null ? [] : [{ fieldName, operator: 'eq', value }];
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
