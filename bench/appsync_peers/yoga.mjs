// graphql-yoga on node:http, without logging and error masking.
import { createServer } from "node:http";
import { createSchema, createYoga } from "graphql-yoga";
import { isKnown, resolvers, typeDefs } from "./schema.mjs";

const yoga = createYoga({
  schema: createSchema({ typeDefs, resolvers }), logging: false, maskedErrors: false, graphiql: false,
});
const server = createServer((request, response) => {
  if (isKnown(request.headers)) {
    yoga(request, response);
  } else {
    response.writeHead(401).end();
  }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
