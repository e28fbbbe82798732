// Mercurius with subscriptions to one device each: a topic for each device, which is the least it can do.
import Fastify from "fastify";
import mercurius from "mercurius";
import { typeDefs } from "./schema.mjs";

const app = Fastify();
app.register(mercurius, {
  schema: `${typeDefs} type Subscription { onPut(id: ID): Device }`,
  resolvers: {
    Mutation: {
      put: async (_, { input }, { pubsub }) => {
        await pubsub.publish({ topic: `put/${input.id}`, payload: { onPut: input } });
        return input;
      },
    },
    Subscription: { onPut: { subscribe: (_, { id }, { pubsub }) => pubsub.subscribe(`put/${id}`) } },
  },
  subscription: true,
  jit: 1,
});
await app.listen({ port: 0, host: "127.0.0.1" });
console.log(app.server.address().port);
