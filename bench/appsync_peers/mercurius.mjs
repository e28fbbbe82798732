// Mercurius on Fastify, with its JIT on from the first request.
import Fastify from "fastify";
import mercurius from "mercurius";
import { isKnown, resolvers, typeDefs } from "./schema.mjs";

const app = Fastify();
app.addHook("onRequest", async (request, reply) => {
  if (!isKnown(request.headers)) {
    reply.code(401).send({ errors: [{ message: "Unauthorized" }] });
  }
});
app.register(mercurius, { schema: typeDefs, resolvers, jit: 1 });
await app.listen({ port: 0, host: "127.0.0.1" });
console.log(app.server.address().port);
