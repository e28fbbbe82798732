exports.echo = async (event) => event;
exports.context = async (event, context) => ({
  name: context.functionName,
  arn: context.invokedFunctionArn,
  memory: context.memoryLimitInMB,
  hasTime: context.getRemainingTimeInMillis() > 0,
  id: context.awsRequestId,
  runtime: process.env.AWS_EXECUTION_ENV,
});
exports.callsBack = (event, context, callback) => setTimeout(() => callback(null, { late: event }), 5);
exports.callsBackWithError = (event, context, callback) => callback(new TypeError("no"));
exports.returnsNothing = (event) => { setTimeout(() => {}, 5); };
exports.throws = async () => { throw new RangeError("broken"); };
exports.prints = async () => { console.log("one\ntwo", { a: 1 }); console.error("bad"); };
exports.rejectsLater = async () => { Promise.reject(new Error("nobody listens")); await new Promise((resolve) => setTimeout(resolve, 50)); };
exports.hangs = async () => new Promise((resolve) => setTimeout(resolve, 60000));
exports.spins = async () => { for (;;); };
exports.inner = { handler: async () => "inner" };
exports.pid = async () => process.pid;
