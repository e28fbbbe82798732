// Flow 7/8: hand the fan-out's input to the subscribers; there is no data source behind it.
// Whoever may call is decided by @aws_iam and the fan-out function's role.
export function request(ctx) {
  return { payload: ctx.args.input };
}

export function response(ctx) {
  return ctx.result;
}
