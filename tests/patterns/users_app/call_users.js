import { util } from "@aws-appsync/utils";

export function request(ctx) {
  const payload = { field: ctx.info.fieldName, arguments: ctx.args };
  return { operation: "Invoke", payload };
}

export function response(ctx) {
  // Without this a failed function is a null with no word of why.
  if (ctx.error) {
    util.error(ctx.error.message, ctx.error.type);
  }
  return ctx.result;
}
