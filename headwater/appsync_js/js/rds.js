// The module '@aws-appsync/utils/rds' and util.rds: SQL text with bound variables for the RDS Data API.
(rt) => {
  "use strict";
  const COMPARISONS = { eq: "=", ne: "!=", lt: "<", le: "<=", gt: ">", ge: ">=" };
  const AGGREGATES = { max: "MAX", min: "MIN", count: "COUNT", avg: "AVG", sum: "SUM" };
  const JOINS = {
    join: "JOIN",
    innerJoin: "INNER JOIN",
    leftJoin: "LEFT JOIN",
    leftOuterJoin: "LEFT OUTER JOIN",
    rightJoin: "RIGHT JOIN",
    rightOuterJoin: "RIGHT OUTER JOIN",
    fullOuterJoin: "FULL OUTER JOIN",
    crossJoin: "CROSS JOIN",
    joinNatural: "NATURAL JOIN",
    innerJoinNatural: "NATURAL INNER JOIN",
    leftJoinNatural: "NATURAL LEFT JOIN",
    leftOuterJoinNatural: "NATURAL LEFT OUTER JOIN",
    rightJoinNatural: "NATURAL RIGHT JOIN",
    rightOuterJoinNatural: "NATURAL RIGHT OUTER JOIN",
    fullOuterJoinNatural: "NATURAL FULL OUTER JOIN",
  };
  const isAbsent = (value) => value === null || value === undefined;

  class Statement {
    constructor(verb, payload) {
      if (payload === undefined) {
        rt.fault(`An argument is expected to be passed to ${verb}`);
      }
      if (!rt.isMap(payload)) {
        rt.fault("Expected payload to be an Object.");
      }
      this.type = verb.toUpperCase();
      this.properties = payload;
    }
  }
  class Template {
    constructor(strings, keys) {
      if (!Array.isArray(strings) || strings.length !== keys.length + 1) {
        rt.fault("java.lang.IllegalArgumentException: Unexpected argument passed to sql tagged template");
      }
      this.strings = strings;
      this.keys = keys;
    }
  }
  class TypeHint {
    constructor(type, value) {
      this.type = type;
      this.value = value;
    }
  }
  class Aggregate {
    constructor(name, column, isDistinct) {
      this.aggregate = name;
      this.column = column;
      this.distinct = isDistinct;
    }
  }

  class Renderer {
    constructor(quote, entryPoint, hasReturning) {
      this.quoteMark = quote;
      this.entryPoint = entryPoint;
      this.hasReturning = hasReturning;
      this.variableMap = {};
      this.variableTypeHintMap = {};
      this.bound = 0;
    }
    statement(statement) {
      if (typeof statement === "string") {
        return statement;
      }
      if (statement instanceof Template) {
        return this.template(statement);
      }
      if (statement instanceof Statement) {
        return this[statement.type](statement.properties);
      }
      return rt.fault(`Unsupported type is passed as argument to ${this.entryPoint}`);
    }
    // Clauses that render to nothing leave no gap; the text ends without blanks.
    clauses(parts) {
      return parts
        .filter((part) => part !== "")
        .join(" ")
        .replace(/\s+$/, "");
    }
    SELECT(payload) {
      const { columns, where, orderBy, limit, offset, groupBy, having } = payload;
      return this.clauses([
        "SELECT",
        isAbsent(columns) ? "*" : this.columns(columns),
        `FROM ${this.table(payload, true)}`,
        ...this.joins(payload),
        this.where(where),
        isAbsent(groupBy) ? "" : this.groupBy(groupBy),
        isAbsent(having) ? "" : this.keyword("HAVING", this.conditions(having, "", "", "AND")),
        isAbsent(orderBy) ? "" : this.orderBy(orderBy),
        isAbsent(limit) ? "" : `LIMIT ${this.rowCount(limit, "limit")}`,
        isAbsent(offset) ? "" : `OFFSET ${this.rowCount(offset, "offset")}`,
      ]);
    }
    INSERT(payload) {
      const entries = this.values(payload, "insert");
      const table = this.table(payload, false);
      const names = entries.map(([name]) => this.quote(name)).join(", ");
      const values = entries.map(([, value]) => this.value(value)).join(", ");
      return this.clauses([`INSERT INTO ${table} (${names}) VALUES (${values})`, this.returning(payload.returning)]);
    }
    UPDATE(payload) {
      const entries = this.values(payload, "update");
      const table = this.table(payload, false);
      const sets = entries.map(([name, value]) => `${this.quote(name)} = ${this.value(value)}`).join(", ");
      return this.clauses([`UPDATE ${table} SET`, sets, this.where(payload.where), this.returning(payload.returning)]);
    }
    REMOVE(payload) {
      const table = this.table(payload, false);
      return this.clauses([`DELETE FROM ${table}`, this.where(payload.where), this.returning(payload.returning)]);
    }
    template({ strings, keys }) {
      return strings.reduce((text, part, index) => text + this.bind(keys[index - 1]) + part);
    }
    bind(value) {
      const name = `:P${this.bound}`;
      this.bound += 1;
      if (value instanceof TypeHint) {
        this.variableMap[name] = value.value;
        this.variableTypeHintMap[name] = value.type;
      } else {
        this.variableMap[name] = value;
      }
      return name;
    }
    value(value) {
      return isAbsent(value) ? "NULL" : this.bind(value);
    }
    quote(name) {
      return name === "*"
        ? name
        : String(name)
            .split(".")
            .map((part) => this.quoteMark + part + this.quoteMark)
            .join(".");
    }
    keyword(word, body) {
      return body === "" ? "" : `${word} ${body}`;
    }
    table({ table, from }, allowsFrom) {
      const hasFrom = allowsFrom && !isAbsent(from);
      if (hasFrom && !isAbsent(table)) {
        rt.fault("'from' and 'table' keys cannot be used together");
      }
      if (hasFrom && typeof from !== "string" && !rt.isMap(from)) {
        rt.fault("'from' value is expected to be string or object.");
      }
      if (!hasFrom && isAbsent(table)) {
        rt.fault("'table' or 'from' key is required.");
      }
      return this.tableName(hasFrom ? from : table);
    }
    tableName(name) {
      if (typeof name === "string") {
        return this.quote(name);
      }
      if (name instanceof Statement || name instanceof Template) {
        return `(${this.statement(name)})`;
      }
      if (!rt.isMap(name)) {
        rt.fault("table name is expected to be a string or alias.");
      }
      const entries = Object.entries(name);
      if (entries.length > 1) {
        rt.fault("table alias is allowed only one key-value pair.");
      }
      if (entries.length === 0) {
        rt.fault("java.util.NoSuchElementException");
      }
      const [[alias, actual]] = entries;
      if (actual instanceof Statement || actual instanceof Template) {
        return `(${this.statement(actual)}) as ${this.quote(alias)}`;
      }
      if (typeof actual !== "string") {
        rt.fault("Table alias value is expected to be a string.");
      }
      return `${this.quote(actual)} as ${this.quote(alias)}`;
    }
    joins(payload) {
      return Object.keys(JOINS).flatMap((key) =>
        (payload[key] ?? []).map((join) => {
          const head = `${JOINS[key]} ${this.table(join, true)}`;
          if (!isAbsent(join.using)) {
            return `${head} USING (${join.using.map((column) => this.quote(column)).join(", ")})`;
          }
          return isAbsent(join.on)
            ? head
            : `${head} ON ${join.on instanceof Template ? this.template(join.on) : this.joinConditions(join.on)}`;
        })
      );
    }
    // In a join's ON a string names the other column.
    joinConditions(on) {
      return Object.entries(on)
        .flatMap(([left, operators]) =>
          Object.entries(operators).map(([operator, right]) => {
            const comparison = COMPARISONS[operator] ?? rt.fault(`Unsupported condition ${left}.${operator}.`);
            return `${this.quote(left)} ${comparison} ${
              typeof right === "string" ? this.quote(right) : this.bind(right)
            }`;
          })
        )
        .join(" AND ");
    }
    columns(columns) {
      if (columns === "*") {
        return columns;
      }
      if (!Array.isArray(columns)) {
        rt.fault("Expected column to be * or an array.");
      }
      return columns.map((column) => this.column(column)).join(", ");
    }
    column(column) {
      if (typeof column === "string") {
        return this.quote(column);
      }
      if (column instanceof Aggregate) {
        return `${AGGREGATES[column.aggregate]}(${column.distinct ? "DISTINCT " : ""}${this.quote(column.column)})`;
      }
      if (rt.isMap(column) && Object.keys(column).length === 1) {
        const [[alias, actual]] = Object.entries(column);
        const isQuery = actual instanceof Statement || actual instanceof Template;
        return `${isQuery ? `(${this.statement(actual)})` : this.column(actual)} as ${this.quote(alias)}`;
      }
      return rt.fault("Invalid type in column array.");
    }
    returning(returning) {
      if (!returning) {
        return "";
      }
      // The list is checked before the dialect: a malformed one is reported as such on MySQL too.
      const columns = this.columns(returning);
      return this.hasReturning ? `RETURNING ${columns}` : rt.fault("returning is not supported in MySQL.");
    }
    values({ values }, verb) {
      if (isAbsent(values)) {
        rt.fault(`values are expected to be passed to ${verb}`);
      }
      return rt.isMap(values) ? Object.entries(values) : rt.fault("Expected values to an Object.");
    }
    rowCount(value, name) {
      const count = value === "" ? NaN : Number(value);
      return Number.isNaN(count) ? rt.fault(`${name} expects a number.`) : this.bind(count);
    }
    groupBy(columns) {
      if (!Array.isArray(columns)) {
        rt.fault("groupBy expects an array.");
      }
      return this.keyword(
        "GROUP BY",
        columns.map((column) => (typeof column === "number" ? String(column) : this.quote(column))).join(", ")
      );
    }
    orderBy(items) {
      if (!Array.isArray(items)) {
        rt.fault("orderBy expects an array.");
      }
      return this.keyword("ORDER BY", items.map((item) => this.orderByItem(item)).join(", "));
    }
    orderByItem(item) {
      if (!rt.isMap(item)) {
        rt.fault("orderBy item expected to be an object.");
      }
      if (typeof item.column !== "string") {
        rt.fault("orderBy item expected to have property column.");
      }
      const direction = typeof item.dir === "string" ? item.dir.toUpperCase() : "ASC";
      if (direction !== "ASC" && direction !== "DESC") {
        rt.fault(`orderBy dir can have either ASC or DESC found ${item.dir}.`);
      }
      return `${this.quote(item.column)} ${direction}`;
    }
    where(where) {
      if (isAbsent(where)) {
        return "";
      }
      if (where instanceof Template) {
        return this.keyword("WHERE", this.template(where));
      }
      if (!rt.isMap(where)) {
        rt.fault("WHERE values are expected to be SQL templates or a condition object.");
      }
      return this.keyword("WHERE", this.conditions(where, "", "", "AND"));
    }
    conditions(where, open, close, joiner) {
      const blocks = [];
      for (const [key, value] of Object.entries(where)) {
        if (key !== "and" && key !== "or") {
          const text = this.columnConditions(key, value);
          blocks.push(text === "" ? "" : open + text + close);
          continue;
        }
        if (!Array.isArray(value)) {
          rt.fault(`${key} expects conditions to be an array`);
        }
        const operator = key.toUpperCase();
        const group = value
          .map((member) => {
            if (!rt.isMap(member) || member instanceof Template) {
              rt.fault(`Expected ${key} to be an Object.`);
            }
            return this.conditions(member, "(", ")", operator);
          })
          .join(` ${operator} `);
        if (group !== "") {
          blocks.push(open + group + close);
        }
      }
      return blocks.join(` ${joiner} `);
    }
    columnConditions(column, conditions) {
      if (!rt.isMap(conditions)) {
        rt.fault("Expected condition to be an Object.");
      }
      return Object.entries(conditions)
        .map(([operator, value]) => this.condition(column, operator, value))
        .join(" AND ");
    }
    condition(column, operator, value) {
      const target = this.quote(column);
      const path = `${column}.${operator}`;
      switch (operator) {
        case "between":
          return this.between(target, value, path);
        case "size":
          return this.measure(`LENGTH (${target})`, value, path);
        case "attributeExists":
          return `${target} IS ${this.expect("boolean", value, path) ? "NOT " : ""}NULL`;
        case "contains":
          return `${target} LIKE ${this.bind(`%${this.expect("string", value, path)}%`)}`;
        case "beginsWith":
          return `${target} LIKE ${this.bind(`${this.expect("string", value, path)}%`)}`;
        case "notContains":
          return `${target} NOT LIKE ${this.bind(this.expect("string", value, path))}`;
        default: {
          const name = operator.replace(/Distinct$/, "");
          if (Object.hasOwn(AGGREGATES, name)) {
            const inner = `${name === operator ? "" : "DISTINCT "}${target}`;
            return this.measure(`${AGGREGATES[name]}(${inner})`, value, path);
          }
          const comparison = Object.hasOwn(COMPARISONS, operator)
            ? COMPARISONS[operator]
            : rt.fault(`Unsupported condition ${path}.`);
          return `${target} ${comparison} ${this.bind(this.present(value, path))}`;
        }
      }
    }
    between(target, value, path) {
      if (!Array.isArray(value)) {
        rt.fault(`${path} condition expects an array with length of 2.`);
      }
      if (value.length !== 2) {
        rt.fault(`${path} condition expects an array with 2 values but received an array with length ${value.length}.`);
      }
      return `${target} BETWEEN ${this.value(value[0])} AND ${this.value(value[1])}`;
    }
    measure(target, operators, path) {
      if (!rt.isMap(operators)) {
        rt.fault(`Expected ${path} to be an Object.`);
      }
      return Object.entries(operators)
        .map(([operator, value]) => {
          if (operator === "between") {
            return this.between(target, value, path);
          }
          const comparison = Object.hasOwn(COMPARISONS, operator)
            ? COMPARISONS[operator]
            : rt.fault(`${path} has invalid size operator.`);
          return `${target} ${comparison} ${this.value(value)}`;
        })
        .join(" AND ");
    }
    present(value, path) {
      return isAbsent(value) ? rt.fault(`Value for ${path} can't be null.`) : value;
    }
    expect(type, value, path) {
      return typeof this.present(value, path) === type
        ? value
        : rt.fault(`${path} expects a ${type} value to be passed.`);
    }
  }

  const create =
    (quote, entryPoint, hasReturning) =>
    (...statements) => {
      const given = statements.filter((statement, index) => index === 0 || !isAbsent(statement));
      if (given.length === 0) {
        rt.fault(`An argument is expected to be passed to ${entryPoint}`);
      }
      if (given.length > 2) {
        rt.fault(`${entryPoint} takes at most 2 statements, ${given.length} were passed`);
      }
      const renderer = new Renderer(quote, entryPoint, hasReturning);
      return {
        statements: given.map((statement) => renderer.statement(statement)),
        variableMap: renderer.variableMap,
        variableTypeHintMap: renderer.variableTypeHintMap,
      };
    };

  const fieldValue = (field) => {
    if (field.isNull === true) {
      return null;
    }
    if (Object.hasOwn(field, "arrayValue")) {
      const { arrayValue } = field;
      return arrayValue.arrayValues
        ? arrayValue.arrayValues.map((inner) => fieldValue({ arrayValue: inner }))
        : Object.values(arrayValue)[0] ?? [];
    }
    return Object.values(field)[0];
  };
  // Null columns are left out of a row; a statement that returns no records gives one empty row.
  const toJsonObject = (result) => {
    const { sqlStatementResults } = typeof result === "string" ? rt.parse(result) : result;
    return sqlStatementResults.map(({ records, columnMetadata }) =>
      records === undefined || records === null
        ? [{}]
        : records.map((record) => {
            const row = {};
            record.forEach((field, index) => {
              const value = fieldValue(field);
              if (value !== null) {
                row[columnMetadata[index].label ?? columnMetadata[index].name] = value;
              }
            });
            return row;
          })
    );
  };

  const hint = (type) => (value) => new TypeHint(type, value);
  const typeHint = {};
  for (const type of ["DECIMAL", "JSON", "TIME", "DATE", "UUID", "TIMESTAMP"]) {
    typeHint[type] = hint(type);
  }
  const agg = {};
  for (const name of Object.keys(AGGREGATES)) {
    agg[name] = (column) => new Aggregate(name, column, false);
    agg[`${name}Distinct`] = (column) => new Aggregate(name, column, true);
  }

  rt.library["@aws-appsync/utils/rds"] = {
    select: (payload) => new Statement("select", payload),
    insert: (payload) => new Statement("insert", payload),
    update: (payload) => new Statement("update", payload),
    remove: (payload) => new Statement("remove", payload),
    sql: (strings, ...keys) => new Template(strings, keys),
    createPgStatement: create('"', "createPgStatement", true),
    createMySQLStatement: create("`", "createMySQLStatement", false),
    toJsonObject,
    typeHint: Object.freeze(typeHint),
    agg: Object.freeze(agg),
  };
  rt.util.rds = { toJsonObject, toJsonString: (result) => rt.stringify(toJsonObject(result)) };

  const bedrock = (operation) => (payload) => ({ operation, ...payload });
  rt.library["@aws-appsync/utils/ai"] = { invokeModel: bedrock("InvokeModel"), converse: bedrock("Converse") };
};
