// Apollo Client 4 with aws-appsync-auth-link and aws-appsync-subscription-link.
import { createRequire } from 'node:module';
import { provideWebSocket, say, serve } from './commands.mjs';

// Under Apollo 4 the link does not tell when a subscription is acknowledged, so the frame itself is watched.
provideWebSocket((frame) => frame.type === 'start_ack' && say('ready'));
// The ESM build of aws-appsync-auth-link 4.0.2 cannot sign: "Sha256 is not a constructor".
const require = createRequire(import.meta.url);
const { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } = require('@apollo/client/core');
const { createAuthLink } = require('aws-appsync-auth-link');
const { createSubscriptionHandshakeLink } = require('aws-appsync-subscription-link');

// Apollo 4 adds extensions.clientLibrary after the auth link has signed the body.
const enhancedClientAwareness = { transport: false };
const fetchPolicy = 'no-cache';
let client;

await serve({
  configure({ url, region, mode, apiKey, token, credentials }) {
    const auth = {
      apiKey: { type: 'API_KEY', apiKey },
      iam: { type: 'AWS_IAM', credentials },
      lambda: { type: 'AWS_LAMBDA', token },
      userPool: { type: 'AMAZON_COGNITO_USER_POOLS', jwtToken: async () => token },
    }[mode];
    const info = { url, region, auth };
    const http = new HttpLink({ uri: url, enhancedClientAwareness });
    const link = ApolloLink.from([createAuthLink(info), createSubscriptionHandshakeLink(info, http)]);
    client = new ApolloClient({ link, cache: new InMemoryCache(), enhancedClientAwareness });
    say('configured');
  },
  async execute(text, variables) {
    const document = gql(text);
    const { operation } = document.definitions.find((one) => one.kind === 'OperationDefinition');
    const answer = operation === 'mutation'
      ? await client.mutate({ mutation: document, variables, fetchPolicy })
      : await client.query({ query: document, variables, fetchPolicy });
    if (answer.error) throw answer.error;
    return { data: answer.data };
  },
  subscribe(text, variables, { next, error }) {
    const subscription = client.subscribe({ query: gql(text), variables, fetchPolicy }).subscribe({
      next: (answer) => (answer.error ? error(answer.error) : next({ data: answer.data })),
      error,
    });
    return () => subscription.unsubscribe();
  },
});
