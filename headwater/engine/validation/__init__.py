"""Parse and validate documents, with faults in the words of graphql-java, which the service is built on."""
