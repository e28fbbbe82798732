// util.transform: DynamoDB expressions, subscription filters and OpenSearch queries from filter objects.
(rt) => {
  "use strict";
  // Unwinds a filter that cannot be rendered; the service answers null for it.
  class Unrenderable {}
  const refuse = () => {
    throw new Unrenderable();
  };
  const orNull = (render) => {
    try {
      return render();
    } catch (error) {
      if (error instanceof Unrenderable) {
        return null;
      }
      throw error;
    }
  };
  const entriesOf = (value) => {
    if (!rt.isMap(value)) {
      return refuse();
    }
    const entries = Object.entries(value);
    return entries.some(([, member]) => member === undefined)
      ? entries.filter(([, member]) => member !== undefined)
      : entries;
  };

  const COMPARISONS = { eq: "=", ne: "<>", lt: "<", le: "<=", gt: ">", ge: ">=" };
  const FUNCTIONS = { contains: "contains", notContains: "NOT contains", beginsWith: "begins_with" };
  const TYPE_CODES = {
    _null: "NULL",
    string: "S",
    stringSet: "SS",
    number: "N",
    numberSet: "NS",
    binary: "B",
    binarySet: "BS",
    boolean: "BOOL",
    list: "L",
    map: "M",
  };

  // Collects names and placeholders while the expression text is put together from the leaves up.
  class ExpressionBuilder {
    constructor() {
      this.expressionNames = {};
      this.expressionValues = {};
    }
    bind(placeholder, value) {
      this.expressionValues[placeholder] = rt.toDynamoDB(value);
      return placeholder;
    }
    // `path` names the placeholders: and/or with their index, not, the field, one size for each size.
    filter(filter, path, isWrapped) {
      const parts = [];
      for (const [key, value] of entriesOf(filter)) {
        if (key === "and" || key === "or") {
          parts.push(this.group(key, value, path));
        } else if (key === "not") {
          parts.push(`(NOT ${this.filter(value, `${path}not_`, true)})`);
        } else {
          parts.push(this.field(key, value, `${path}${key}_`, `#${key}`));
        }
      }
      return join(parts, "AND", isWrapped);
    }
    group(key, members, path) {
      if (!Array.isArray(members)) {
        refuse();
      }
      const parts = members.map((member, index) => this.filter(member, `${path}${key}_${index}_`, false));
      return join(parts, key.toUpperCase(), true);
    }
    field(name, operators, path, target) {
      this.expressionNames[`#${name}`] = name;
      const parts = [];
      for (const [operator, operand] of entriesOf(operators)) {
        parts.push(
          operator === "size"
            ? this.field(name, operand, `${path}size_`, `size(#${name})`)
            : this.operator(operator, operand, target, path + operator)
        );
      }
      return join(parts, "AND", true);
    }
    operator(operator, operand, target, placeholder) {
      if (Object.hasOwn(COMPARISONS, operator)) {
        return `(${target} ${COMPARISONS[operator]} ${this.bind(placeholder, operand)})`;
      }
      if (Object.hasOwn(FUNCTIONS, operator)) {
        return `(${FUNCTIONS[operator]}(${target},${this.bind(placeholder, operand)}))`;
      }
      if (operator === "between" && Array.isArray(operand) && operand.length > 1) {
        const start = this.bind(`${placeholder}_start`, operand[0]);
        return `(${target} BETWEEN ${start} AND ${this.bind(`${placeholder}_end`, operand[1])})`;
      }
      if (operator === "in" && Array.isArray(operand)) {
        // The service renders the empty list as this literal.
        return operand.length === 0
          ? "(null)"
          : `(${target} IN (${operand.map((value, index) => this.bind(`${placeholder}_${index}`, value)).join(", ")}))`;
      }
      if (operator === "attributeExists" && typeof operand === "boolean") {
        return `(${operand ? "attribute_exists" : "attribute_not_exists"}(${target}))`;
      }
      if (operator === "attributeType" && typeof operand === "string" && Object.hasOwn(TYPE_CODES, operand)) {
        return `(attribute_type(${target},${this.bind(placeholder, TYPE_CODES[operand])}))`;
      }
      return refuse();
    }
  }
  // Parts that render to nothing are joined like the others: a dangling AND shows the mistake, as on the service.
  const join = (parts, joiner, isWrapped) => {
    if (parts.length === 1) {
      return parts[0];
    }
    const text = parts.join(` ${joiner} `);
    return isWrapped && parts.length > 1 ? `(${text})` : text;
  };

  rt.buildExpression = (filter) =>
    orNull(() => {
      const builder = new ExpressionBuilder();
      const expression = builder.filter(filter, ":", false);
      return { expression, expressionNames: builder.expressionNames, expressionValues: builder.expressionValues };
    });
  const toExpressionText = (filter) => {
    const built = rt.buildExpression(filter);
    return built === null ? null : rt.stringify(built);
  };

  // Disjunctive normal form: a list of groups, each a list of filters that must all hold.
  // They grow exponentially in the filter's size; AppSync takes 10 of them.
  const MAX_GROUPS = 10_000;
  const cross = (groups, alternatives) => {
    if (groups.length * alternatives.length > MAX_GROUPS) {
      throw new Error(`toSubscriptionFilter: the filter becomes more than ${MAX_GROUPS} groups`);
    }
    return groups.flatMap((group) => alternatives.map((other) => [...group, ...other]));
  };
  const fieldAlternatives = (fieldName, operators) =>
    entriesOf(operators).map(([operator, value]) => [{ fieldName, operator, value }]);
  const membersOf = (value) => (Array.isArray(value) ? value : refuse());
  const toGroups = (filter, ignored) => {
    let groups = [[]];
    for (const [key, value] of entriesOf(filter)) {
      if (key === "and") {
        for (const member of membersOf(value)) {
          groups = cross(groups, toGroups(member, ignored));
        }
      } else if (key === "or") {
        const alternatives = membersOf(value).flatMap((member) => toGroups(member, ignored));
        // An alternative whose fields are all ignored says nothing: it must not open the filter.
        const telling = alternatives.filter((group) => group.length > 0);
        groups = cross(groups, telling.length > 0 ? telling : alternatives);
      } else if (!ignored.includes(key)) {
        groups = cross(groups, fieldAlternatives(key, value));
      }
    }
    return groups;
  };
  const toSubscriptionFilter = (filter, ignoredFields, rules) =>
    orNull(() => {
      // Text is no filter, though the guide passes a String argument as it came ("Defining enhanced filters from the
      // client"): null is what the service answered when it was recorded.
      let groups = toGroups(filter, Array.isArray(ignoredFields) ? ignoredFields : []);
      const strict = rt.isMap(rules)
        ? Object.entries(rules).flatMap(([field, operators]) => fieldAlternatives(field, operators))
        : [];
      if (strict.length > 0) {
        groups = cross(groups, strict);
      }
      return { filterGroup: groups.filter((filters) => filters.length > 0).map((filters) => ({ filters })) };
    });

  const QUERIES = {
    eq: (field, value) => ({ term: { [field]: value } }),
    ne: (field, value) => ({ bool: { must_not: { term: { [field]: value } } } }),
    match: (field, value) => ({ match: { [field]: value } }),
    matchPhrase: (field, value) => ({ match_phrase: { [field]: value } }),
    matchPhrasePrefix: (field, value) => ({ match_phrase_prefix: { [field]: value } }),
    multiMatch: (field, value) => ({ multi_match: { [field]: value } }),
    wildcard: (field, value) => ({ wildcard: { [field]: value } }),
    regexp: (field, value) => ({ regexp: { [field]: value } }),
    exists: (field, value) => (value ? { exists: { field } } : { bool: { must_not: { exists: { field } } } }),
    range: (field, value) =>
      Array.isArray(value) && value.length > 1 ? { range: { [field]: { gte: value[0], lte: value[1] } } } : refuse(),
  };
  for (const bound of ["gt", "gte", "lt", "lte"]) {
    QUERIES[bound] = (field, value) => ({ range: { [field]: { [bound]: value } } });
  }
  const must = (queries) => (queries.length === 1 ? queries[0] : { bool: { must: queries } });
  const toFieldQuery = (field, operators) =>
    must(
      entriesOf(operators).map(([operator, value]) =>
        Object.hasOwn(QUERIES, operator) ? QUERIES[operator](field, value) : refuse()
      )
    );
  const toQuery = (filter) =>
    must(
      entriesOf(filter).map(([key, value]) => {
        switch (key) {
          case "and":
            return { bool: { must: membersOf(value).map(toQuery) } };
          case "or":
            return { bool: { should: membersOf(value).map(toQuery), minimum_should_match: 1 } };
          case "not":
            return { bool: { must_not: toQuery(value) } };
          default:
            return toFieldQuery(key, value);
        }
      })
    );

  rt.util.transform = {
    toDynamoDBFilterExpression: toExpressionText,
    toDynamoDBConditionExpression: toExpressionText,
    toSubscriptionFilter,
    toElasticsearchQueryDSL: (filter) => orNull(() => rt.stringify(toQuery(filter))),
  };
};
