// Apollo Client 4 with AppSync's links as the store's transport. The store merges by version, so Apollo's cache is not used.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client/core';
import { createAuthLink } from 'aws-appsync-auth-link';
import { createSubscriptionHandshakeLink } from 'aws-appsync-subscription-link';

const fetchPolicy = 'no-cache';
// Added after the auth link has signed the body, it would break an IAM signature.
const enhancedClientAwareness = { transport: false };

export function apolloClient({ url, region, auth }) {
  const info = { url, region, auth };
  const http = new HttpLink({ uri: url, enhancedClientAwareness });
  const link = ApolloLink.from([createAuthLink(info), createSubscriptionHandshakeLink(info, http)]);
  return new ApolloClient({ link, cache: new InMemoryCache(), enhancedClientAwareness });
}

// `createClient` is called for queries once, and for each subscription each time it begins: the link does not open its socket
// again once it was lost.
export function apolloTransport(createClient, { settleMs = 2000, retryMs = 1000 } = {}) {
  const client = createClient();
  return {
    async query(document, variables) {
      const { data, error } = await client.query({ query: gql(document), variables, fetchPolicy });
      if (error) throw error;
      return data;
    },
    subscribe(document, { next, live }) {
      let subscription;
      let timers = [];
      let isOver = false;
      const later = (work, ms) => timers.push(setTimeout(work, ms));
      function restart() {
        subscription?.unsubscribe();
        timers.forEach(clearTimeout);
        timers = [];
        // With jitter, or every page would come back in the same moment.
        if (!isOver) later(begin, retryMs * (0.5 + Math.random()));
      }
      function begin() {
        subscription = createClient().subscribe({ query: gql(document), fetchPolicy }).subscribe({
          next: ({ data, error }) => (error ? restart() : next(data)),
          error: restart,
          complete: restart,
        });
        // Nor does it tell when the subscription has begun: read at once, and once more when it must have.
        live();
        later(live, settleMs);
      }
      begin();
      return () => {
        isOver = true;
        restart();
      };
    },
  };
}
