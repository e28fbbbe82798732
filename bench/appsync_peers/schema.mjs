// The schema and the answers that every peer gives.
export const typeDefs = `
type Owner { id: ID! email: String }
type Device { id: ID! name: String status: String lastValue: Float updatedAt: String owner: Owner }
input State { id: ID! lastValue: Float status: String }
type Query { device(id: ID!): Device }
type Mutation { put(input: State!): Device }
`;
export const key = "da2-bench";
export const resolvers = {
  Query: {
    device: (_, { id }) => ({
      id, name: "n", status: "ok", lastValue: 1.5, updatedAt: "t", owner: { id: "o", email: "e" },
    }),
  },
  Mutation: { put: (_, { input }) => ({ ...input }) },
};
export const isKnown = (headers) => headers["x-api-key"] === key;
