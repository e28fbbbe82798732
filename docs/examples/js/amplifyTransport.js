// Amplify v6 as the store's transport. Amplify reconnects by itself and says by Hub when a subscription begins again.
import { generateClient } from 'aws-amplify/api';
import { Hub } from 'aws-amplify/utils';

const ACKNOWLEDGED = 'Subscription ack';
// Hub has the document as Amplify printed it.
const compact = (document) => document?.replace(/\s+/g, '');

export function amplifyTransport(client = generateClient()) {
  return {
    async query(query, variables) {
      const { data } = await client.graphql({ query, variables });
      return data;
    },
    subscribe(query, { next, live }) {
      const unlisten = Hub.listen('api', ({ payload }) => {
        if (payload.event === ACKNOWLEDGED && compact(payload.data?.query) === compact(query)) live();
      });
      const subscription = client.graphql({ query }).subscribe({ next: ({ data }) => next(data), error: console.error });
      return () => {
        subscription.unsubscribe();
        unlisten();
      };
    },
  };
}
