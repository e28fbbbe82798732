// Amplify v6: generateClient() against the endpoint of a running instance.
import { provideWebSocket, say, serve } from './commands.mjs';

provideWebSocket();
const { Amplify } = await import('aws-amplify');
const { generateClient } = await import('aws-amplify/api');
const { decodeJWT } = await import('aws-amplify/auth');
const { Hub } = await import('aws-amplify/utils');

const client = generateClient();
let auth = {};
Hub.listen('api', ({ payload }) => {
  if (/ACK/i.test(payload.event)) say('ready');
});

await serve({
  configure({ url, region, mode, apiKey, token, credentials }) {
    const GraphQL = { endpoint: url, region, defaultAuthMode: mode, apiKey };
    const credentialsProvider = {
      getCredentialsAndIdentityId: async () => (mode === 'iam' ? { credentials, identityId: 'local:1' } : undefined),
      clearCredentialsAndIdentityId() {},
    };
    const getTokens = async () => (mode === 'userPool' ? { accessToken: decodeJWT(token) } : null);
    Amplify.configure({ API: { GraphQL } }, { Auth: { credentialsProvider, tokenProvider: { getTokens } } });
    auth = mode === 'lambda' ? { authMode: mode, authToken: token } : { authMode: mode };
    say('configured');
  },
  async execute(query, variables) {
    const { data, errors } = await client.graphql({ query, variables, ...auth });
    return errors ? { data, errors } : { data };
  },
  subscribe(query, variables, observer) {
    const subscription = client.graphql({ query, variables, ...auth }).subscribe(observer);
    return () => subscription.unsubscribe();
  },
});
