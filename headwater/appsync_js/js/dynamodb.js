// util.dynamodb and the module '@aws-appsync/utils/dynamodb'.
(rt) => {
  "use strict";
  const isAbsent = (value) => value === null || value === undefined;
  const typed = (type) => (value) => isAbsent(value) ? null : { [type]: value };

  // What ddb.toStringSet and its like give is a value of its own; to util.dynamodb it is a map like any other.
  const isSet = (value) => {
    const keys = Object.keys(value);
    return keys.length === 1 && ["SS", "NS", "BS"].includes(keys[0]) && Array.isArray(value[keys[0]]);
  };
  const converter = (keepsSets) => {
    const toDynamoDB = (value) => {
      switch (typeof value) {
        case "string":
          return { S: value };
        case "number":
          return { N: value };
        case "boolean":
          return { BOOL: value };
        case "object":
          if (value === null) {
            return { NULL: null };
          }
          if (Array.isArray(value)) {
            return { L: value.map(toDynamoDB) };
          }
          return keepsSets && isSet(value) ? value : { M: toMapValues(value) };
        default:
          return { NULL: null };
      }
    };
    const toMapValues = (map) => {
      if (!rt.isMap(map)) {
        return null;
      }
      const values = {};
      for (const key of Object.keys(map)) {
        if (map[key] !== undefined) {
          values[key] = toDynamoDB(map[key]);
        }
      }
      return values;
    };
    return { toDynamoDB, toMapValues };
  };
  const { toDynamoDB, toMapValues } = converter(false);
  const module = converter(true);
  rt.toDynamoDB = toDynamoDB;

  rt.util.dynamodb = {
    toDynamoDB,
    toString: typed("S"),
    toStringSet: typed("SS"),
    toNumber: typed("N"),
    toNumberSet: typed("NS"),
    toBinary: typed("B"),
    toBinarySet: typed("BS"),
    toBoolean: typed("BOOL"),
    toNull: () => ({ NULL: null }),
    toList: (list) => (Array.isArray(list) ? { L: list.map(toDynamoDB) } : null),
    toMap: (map) => (rt.isMap(map) ? { M: toMapValues(map) } : null),
    toMapValues,
    toS3Object: (key, bucket, region, version) => ({
      S: rt.stringify({ s3: isAbsent(version) ? { key, bucket, region } : { key, bucket, region, version } }),
    }),
    fromS3ObjectJson: (text) => {
      // The documentation shows the whole attribute value, the declared type its string: both are read.
      const json = rt.isMap(text) ? text.S : text;
      if (typeof json !== "string") {
        return null;
      }
      let link;
      try {
        link = rt.parse(json);
      } catch {
        return null;
      }
      if (!rt.isMap(link) || !rt.isMap(link.s3)) {
        return null;
      }
      const { key, bucket, region, version } = link.s3;
      return isAbsent(version) ? { key, bucket, region } : { key, bucket, region, version };
    },
  };

  // Copies the named members that were given; null counts as not given.
  const withGiven = (request, input, names) => {
    for (const name of names) {
      const value = input[name];
      if (value !== null && value !== undefined) {
        request[name] = value;
      }
    }
    return request;
  };
  const withExpression = (request, name, filter) => {
    const expression = toExpression(filter);
    if (expression !== null) {
      request[name] = expression;
    }
    return request;
  };
  const withProjection = (request, { projection }) => {
    const expression = toProjection(projection);
    if (expression !== null) {
      request.projection = expression;
    }
    return request;
  };

  // Conditions, filters and key conditions leave out expressionValues when they bind none.
  const toExpression = (filter) => {
    const built = isAbsent(filter) ? null : rt.buildExpression(filter);
    if (built !== null && Object.keys(built.expressionValues).length === 0) {
      delete built.expressionValues;
    }
    return built;
  };

  // One alias for each distinct name, numbered in order of first use.
  const aliases = () => {
    const byName = new Map();
    return {
      of: (name) => {
        if (!byName.has(name)) {
          byName.set(name, `#expName_${byName.size + 1}`);
        }
        return byName.get(name);
      },
      names: () => Object.fromEntries([...byName].map(([name, alias]) => [alias, name])),
    };
  };

  const toProjection = (paths) => {
    if (!Array.isArray(paths) || paths.length === 0) {
      return null;
    }
    const alias = aliases();
    // An index is no part of the name: `tags[1]` is the second item of `tags`.
    const step = (segment) => {
      const [, name, indexes] = /^(.*?)((?:\[\d+\])*)$/s.exec(segment);
      return alias.of(name) + indexes;
    };
    const expression = paths.map((path) => String(path).split(".").map(step).join(".")).join(", ");
    return { expression, expressionNames: alias.names() };
  };

  const operations = {
    add: (value) => ({ type: "OPERATION_ADD", value }),
    remove: () => ({ type: "OPERATION_REMOVE" }),
    replace: (value) => ({ type: "OPERATION_REPLACE", value }),
    increment: (by) => ({ type: "OPERATION_INCREMENT", by }),
    decrement: (by) => ({ type: "OPERATION_DECREMENT", by }),
    append: (items) => ({ type: "OPERATION_APPEND", items }),
    prepend: (items) => ({ type: "OPERATION_PREPEND", items }),
    updateListItem: (value, index) => ({ type: "OPERATION_UPDATE_LIST_ITEM", value, index }),
  };
  const isOperation = (value) =>
    rt.isMap(value) && typeof value.type === "string" && value.type.startsWith("OPERATION_");
  const isListUpdate = (value) =>
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((item) => isOperation(item) && item.type === "OPERATION_UPDATE_LIST_ITEM");

  const CLAUSES = {
    OPERATION_ADD: (name, bind, { value }) => `${name} = ${bind(value)}`,
    OPERATION_REPLACE: (name, bind, { value }) => `${name} = ${bind(value)}`,
    OPERATION_INCREMENT: (name, bind, { by }) => `${name} = ${name} + ${bind(by ?? 1)}`,
    OPERATION_DECREMENT: (name, bind, { by }) => `${name} = ${name} - ${bind(by ?? 1)}`,
    OPERATION_APPEND: (name, bind, { items }) => `${name} = list_append(${name}, ${bind(items)})`,
    OPERATION_PREPEND: (name, bind, { items }) => `${name} = list_append(${bind(items)}, ${name})`,
    OPERATION_UPDATE_LIST_ITEM: (name, bind, { value, index }) => `${name}[${index}] = ${bind(value)}`,
  };

  const holdsOperation = (value) =>
    isOperation(value) || isListUpdate(value) || (rt.isMap(value) && Object.values(value).some(holdsOperation));
  // Operations inside of a map change what they name and nothing beside it: each becomes a clause with its path.
  // Recorded in aws-appsync-community#393. A map without any is set as a whole.
  const collectClauses = (update, above, sets, removes) => {
    for (const field of Object.keys(update)) {
      const value = update[field];
      const path = [...above, field];
      if (value === undefined) {
        continue;
      }
      if (isListUpdate(value)) {
        sets.push(...value.map((item) => [path, item]));
      } else if (!isOperation(value)) {
        if (holdsOperation(value)) {
          collectClauses(value, path, sets, removes);
        } else {
          sets.push([path, operations.replace(value)]);
        }
      } else if (value.type === "OPERATION_REMOVE") {
        removes.push(path);
      } else if (CLAUSES[value.type] !== undefined) {
        sets.push([path, value]);
      } else {
        rt.fault(`Unsupported update operation ${value.type} of the attribute ${path.join(".")}`);
      }
    }
  };

  // All SET clauses come before all REMOVE clauses, and placeholders are numbered in that order.
  const toUpdate = (update) => {
    const sets = [];
    const removes = [];
    collectClauses(update, [], sets, removes);
    const alias = aliases();
    const expressionValues = {};
    let bound = 0;
    const bind = (value) => {
      bound += 1;
      expressionValues[`:expValue_${bound}`] = module.toDynamoDB(value);
      return `:expValue_${bound}`;
    };
    const setText = sets
      .map(([path, operation]) => CLAUSES[operation.type](path.map(alias.of).join("."), bind, operation))
      .join(", ");
    const removeText = removes.map((path) => path.map(alias.of).join(".")).join(", ");
    const expression = [setText && `SET ${setText}`, removeText && `REMOVE ${removeText}`].filter(Boolean).join(" ");
    return { expression, expressionNames: alias.names(), expressionValues };
  };

  const PAGE_MEMBERS = ["index", "limit", "nextToken", "consistentRead"];
  const QUERY_MEMBERS = [...PAGE_MEMBERS, "scanIndexForward", "select"];
  const SCAN_MEMBERS = [...PAGE_MEMBERS, "segment", "totalSegments"];
  const SYNC_MEMBERS = ["basePartitionKey", "deltaIndexName", "limit", "nextToken", "lastSync"];
  const WRITE_MEMBERS = ["_version", "customPartitionKey", "populateIndexFields"];
  const READ_MEMBERS = ["consistentRead"];
  const page = (request, input, members) =>
    withProjection(withExpression(withGiven(request, input, members), "filter", input.filter), input);
  const write = (request, input) =>
    withGiven(withExpression(request, "condition", input.condition), input, WRITE_MEMBERS);
  const mapTables = (tables, convert) =>
    Object.fromEntries(Object.entries(tables).map(([table, value]) => [table, convert(value)]));

  const WRITES = {
    putItem: ({ item }) => ["PutItem", { attributeValues: module.toMapValues(item) }],
    updateItem: ({ update }) => ["UpdateItem", { update: toUpdate(update) }],
    deleteItem: () => ["DeleteItem", {}],
    conditionCheck: () => ["ConditionCheck", {}],
  };
  const toTransactWrite = (item) => {
    const kind = Object.keys(WRITES).find((name) => rt.isMap(item) && rt.isMap(item[name]));
    if (kind === undefined) {
      rt.fault("An item of transactWrite is expected to hold putItem, updateItem, deleteItem or conditionCheck");
    }
    const input = item[kind];
    const [operation, members] = WRITES[kind](input);
    const request = { table: input.table, operation, key: toMapValues(input.key), ...members };
    return withExpression(request, "condition", input.condition);
  };

  rt.library["@aws-appsync/utils/dynamodb"] = {
    get: (input) =>
      withProjection(withGiven({ operation: "GetItem", key: toMapValues(input.key) }, input, READ_MEMBERS), input),
    put: (input) =>
      write(
        { operation: "PutItem", key: toMapValues(input.key), attributeValues: module.toMapValues(input.item) },
        input
      ),
    update: (input) =>
      write({ operation: "UpdateItem", key: toMapValues(input.key), update: toUpdate(input.update) }, input),
    remove: (input) => write({ operation: "DeleteItem", key: toMapValues(input.key) }, input),
    query: (input) => page(withExpression({ operation: "Query" }, "query", input.query), input, QUERY_MEMBERS),
    scan: (input = {}) => page({ operation: "Scan" }, input, SCAN_MEMBERS),
    sync: (input = {}) => withExpression(withGiven({ operation: "Sync" }, input, SYNC_MEMBERS), "filter", input.filter),
    batchGet: ({ tables }) => ({
      operation: "BatchGetItem",
      tables: mapTables(tables, (input) =>
        withProjection(withGiven({ keys: input.keys.map(toMapValues) }, input, READ_MEMBERS), input)
      ),
    }),
    batchPut: ({ tables }) => ({
      operation: "BatchPutItem",
      tables: mapTables(tables, (items) => items.map(module.toMapValues)),
    }),
    batchDelete: ({ tables }) => ({
      operation: "BatchDeleteItem",
      tables: mapTables(tables, (keys) => keys.map(toMapValues)),
    }),
    transactGet: ({ items }) => ({
      operation: "TransactGetItems",
      transactItems: items.map((input) => withProjection({ table: input.table, key: toMapValues(input.key) }, input)),
    }),
    transactWrite: ({ items }) => ({ operation: "TransactWriteItems", transactItems: items.map(toTransactWrite) }),
    toStringSet: (list) => ({ SS: list }),
    toNumberSet: (numbers) => ({ NS: numbers }),
    toBinarySet: (values) => ({ BS: values }),
    operations: Object.freeze(operations),
  };
};
