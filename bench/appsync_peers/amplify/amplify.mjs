// Amplify's AppSync simulator, which knows VTL only: the schema of bench/appsync_requests.py with NONE resolvers.
// It needs graphql 15, so its packages are its own: `npm install` here, in the copy of the folder, too.
import simulator from "@aws-amplify/amplify-appsync-simulator";
import { key, typeDefs } from "../schema.mjs";

const { AmplifyAppSyncSimulator } = simulator;
const unit = (typeName, fieldName, payload) => ({
  kind: "UNIT",
  typeName,
  fieldName,
  dataSourceName: "none",
  requestMappingTemplate: `{"version": "2018-05-29", "payload": ${payload}}`,
  responseMappingTemplate: "$util.toJson($ctx.result)",
});
const server = new AmplifyAppSyncSimulator({ port: 0 });
await server.init({
  schema: {
    content: `${typeDefs} type Subscription { onPut(id: ID): Device @aws_subscribe(mutations: ["put"]) }`,
    path: "schema.graphql",
  },
  appSync: {
    name: "bench",
    apiKey: key,
    defaultAuthenticationType: { authenticationType: "API_KEY" },
    additionalAuthenticationProviders: [],
  },
  dataSources: [{ type: "NONE", name: "none" }],
  resolvers: [
    unit(
      "Query",
      "device",
      `{"id": $util.toJson($ctx.args.id), "name": "n", "status": "ok", "lastValue": 1.5, "updatedAt": "t",
        "owner": {"id": "o", "email": "e"}}`,
    ),
    unit("Mutation", "put", "$util.toJson($ctx.args.input)"),
  ],
});
await server.start();
console.log(new URL(server.localhostUrl).port);
