"""IoT SQL text becomes a syntax tree.

Source: AWS IoT Core Developer Guide, "AWS IoT SQL reference". Precedence is undocumented there; this is the
usual one: OR < AND < NOT < comparison and IN < + - < * / % < unary minus.
"""

from decimal import Context, Decimal

from headwater.errors import TemplateError
from headwater.rules.syntax.lexer import Token, tokenize
from headwater.rules.syntax.tree import (
    ArrayLiteral,
    Binary,
    Call,
    Case,
    Cast,
    Exists,
    Expression,
    Literal,
    Member,
    Nested,
    ObjectLiteral,
    Path,
    Query,
    SelectItem,
    Statement,
    Unary,
    UndefinedLiteral,
    Variable,
)

MAXIMUM_VARIABLE_LENGTH = 64
# Deeper nesting is no rule anybody writes, and would exhaust the interpreter's stack.
MAXIMUM_DEPTH = 60
MAXIMUM_DIGITS = 34
_DECIMAL = Context(prec=MAXIMUM_DIGITS, Emin=-999, Emax=999, traps=[])
_RESERVED = frozenset("SELECT FROM WHERE AS AND OR NOT IN EXISTS CASE WHEN THEN ELSE END VALUE SET".split())
_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")
_CAST_TYPES = {
    **dict.fromkeys(("STRING", "NVARCHAR", "TEXT", "NTEXT", "VARCHAR"), "String"),
    **dict.fromkeys(("INT", "INTEGER"), "Int"),
    "DECIMAL": "Decimal",
    "DOUBLE": "Double",
    **dict.fromkeys(("BOOL", "BOOLEAN"), "Boolean"),
}


def parse_statement(sql: str) -> Statement:
    """Parse `[SET …] SELECT … [FROM 'filter'] [WHERE …]`. Raises: TemplateError with position and expectation."""
    return _Parser(sql).statement()


def parse_expression(text: str) -> Expression:
    """Parse one expression, as substitution templates hold."""
    parser = _Parser(text)
    expression = parser.expression()
    parser.expect_end()
    return expression


class _Parser:
    def __init__(self, sql: str) -> None:
        self._tokens = tokenize(sql)
        self._index = 0
        self._depth = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._index]

    def _advance(self) -> Token:
        token = self._token
        self._index += 1
        return token

    def _fault(self, expected: str) -> TemplateError:
        found = "the end" if self._token.kind == "end" else repr(self._token.text)
        return TemplateError(f"SQL position {self._token.position}: expected {expected}, found {found}")

    def _take_word(self, *words: str) -> bool:
        if self._token.is_word(*words):
            self._index += 1
            return True
        return False

    def _take_symbol(self, *symbols: str) -> bool:
        if self._token.is_symbol(*symbols):
            self._index += 1
            return True
        return False

    def _expect_word(self, word: str) -> None:
        if not self._take_word(word):
            raise self._fault(word)

    def _expect_symbol(self, symbol: str) -> None:
        if not self._take_symbol(symbol):
            raise self._fault(repr(symbol))

    def expect_end(self) -> None:
        if self._token.kind != "end":
            raise self._fault("the end of the statement")

    def statement(self) -> Statement:
        variables = self._variables() if self._take_word("SET") else ()
        items, value = self._select()
        topic_filter = None
        if self._take_word("FROM"):
            if self._token.kind != "string":
                raise self._fault("a topic filter in quotes")
            topic_filter = self._advance().text
        where = self.expression() if self._take_word("WHERE") else None
        self.expect_end()
        return Statement(variables, Query(items, value, where), topic_filter)

    def _variables(self) -> tuple[tuple[str, Expression], ...]:
        found: list[tuple[str, Expression]] = []
        while True:
            if self._token.kind != "variable":
                raise self._fault("a variable such as @name")
            name = self._advance().text[1:]
            if len(name) > MAXIMUM_VARIABLE_LENGTH:
                raise TemplateError(f"the variable @{name} has more than {MAXIMUM_VARIABLE_LENGTH} characters")
            if name in dict(found):
                raise TemplateError(f"the variable @{name} is set twice")
            self._expect_symbol("=")
            found.append((name, self.expression()))
            if not self._take_symbol(","):
                return tuple(found)

    def _select(self) -> tuple[tuple[SelectItem, ...], Expression | None]:
        self._expect_word("SELECT")
        following = self._tokens[min(self._index + 1, len(self._tokens) - 1)]
        ends_item = following.kind == "end" or following.is_symbol(",", ".") or following.is_word("AS", "FROM", "WHERE")
        if self._token.is_word("VALUE") and not ends_item:
            self._index += 1
            return (), self.expression()
        items = [self._item()]
        while self._take_symbol(","):
            items.append(self._item())
        return tuple(items), None

    def _item(self) -> SelectItem:
        if self._take_symbol("*"):
            return SelectItem(None, None)
        expression = self.expression()
        if self._take_word("AS"):
            return SelectItem(expression, self._alias())
        if isinstance(expression, Path):
            return SelectItem(expression, expression.names[-1:])
        if isinstance(expression, Variable):
            return SelectItem(expression, (expression.members or (expression.name,))[-1:])
        if isinstance(expression, Member):
            return SelectItem(expression, expression.names[-1:])
        if isinstance(expression, Call):
            return SelectItem(expression, (expression.written,))
        if isinstance(expression, Cast):
            return SelectItem(expression, ("cast",))
        raise self._fault("AS and a name for the expression")

    def _alias(self) -> tuple[str, ...]:
        if self._token.kind not in ("word", "string"):
            raise self._fault("a name after AS")
        names = [self._advance().text]
        while self._take_symbol("."):
            if self._token.kind != "word":
                raise self._fault("a name after '.'")
            names.append(self._advance().text)
        return tuple(names)

    def expression(self) -> Expression:
        self._depth += 1
        if self._depth > MAXIMUM_DEPTH:
            raise TemplateError(f"the expression is nested deeper than {MAXIMUM_DEPTH} levels")
        left = self._conjunction()
        while self._take_word("OR"):
            left = Binary("OR", left, self._conjunction())
        self._depth -= 1
        return left

    def _conjunction(self) -> Expression:
        left = self._negation()
        while self._take_word("AND"):
            left = Binary("AND", left, self._negation())
        return left

    def _negation(self) -> Expression:
        negations = 0
        while self._take_word("NOT"):
            negations += 1
        expression = self._comparison()
        for _ in range(negations):
            expression = Unary("NOT", expression)
        return expression

    def _comparison(self) -> Expression:
        left = self._sum()
        while True:
            if self._token.is_symbol(*_COMPARISONS):
                left = Binary(self._advance().text, left, self._sum())
            elif self._token.is_word("IN"):
                self._advance()
                left = Binary("IN", left, self._sum())
            elif self._token.is_word("NOT") and self._tokens[self._index + 1].is_word("IN"):
                self._index += 2
                left = Unary("NOT", Binary("IN", left, self._sum()))
            else:
                return left

    def _sum(self) -> Expression:
        left = self._product()
        while self._token.is_symbol("+", "-"):
            left = Binary(self._advance().text, left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._unary()
        while self._token.is_symbol("*", "/", "%"):
            left = Binary(self._advance().text, left, self._unary())
        return left

    def _unary(self) -> Expression:
        minus = 0
        while self._token.is_symbol("-", "+"):
            minus += self._advance().text == "-"
        operand = self._primary()
        if minus % 2 == 0:
            return operand
        if isinstance(operand, Literal) and isinstance(operand.value, (int, float, Decimal)):
            return Literal(-operand.value)
        return Unary("-", operand)

    def _primary(self) -> Expression:
        token = self._token
        if token.kind == "number":
            return Literal(_number(self._advance()))
        if token.kind == "string":
            return Literal(self._advance().text)
        if token.kind == "variable":
            return Variable(self._advance().text[1:], self._members())
        if token.is_symbol("("):
            return self._with_members(self._parenthesis())
        if token.is_symbol("["):
            return self._array()
        if token.is_symbol("{"):
            return self._object()
        if token.is_symbol("*"):
            self._advance()
            return Path(("*",))
        if token.kind == "word":
            return self._word()
        raise self._fault("an expression")

    def _members(self) -> tuple[str, ...]:
        names: list[str] = []
        while self._take_symbol("."):
            if self._token.kind not in ("word", "number"):
                raise self._fault("a name after '.'")
            names.append(self._advance().text)
        return tuple(names)

    def _with_members(self, operand: Expression) -> Expression:
        names = self._members()
        return Member(operand, names) if names else operand

    def _parenthesis(self) -> Expression:
        self._expect_symbol("(")
        if self._token.is_word("SELECT"):
            nested = self._nested()
            self._expect_symbol(")")
            return nested
        expression = self.expression()
        self._expect_symbol(")")
        return expression

    def _nested(self) -> Nested:
        items, value = self._select()
        self._expect_word("FROM")
        source = self._sum()
        alias = None
        if self._take_word("AS"):
            alias = self._alias()[0]
        elif self._token.kind == "word" and self._token.text.upper() not in _RESERVED:
            alias = self._advance().text
        where = self.expression() if self._take_word("WHERE") else None
        return Nested(Query(items, value, where), source, alias)

    def _array(self) -> Expression:
        self._expect_symbol("[")
        items: list[Expression] = []
        while not self._take_symbol("]"):
            items.append(self.expression())
            if not self._token.is_symbol("]"):
                self._expect_symbol(",")
        return ArrayLiteral(tuple(items))

    def _object(self) -> Expression:
        self._expect_symbol("{")
        entries: list[tuple[str, Expression]] = []
        while not self._take_symbol("}"):
            if self._token.kind not in ("string", "word"):
                raise self._fault("a key in quotes")
            key = self._advance().text
            self._expect_symbol(":")
            entries.append((key, self.expression()))
            if not self._token.is_symbol("}"):
                self._expect_symbol(",")
        return ObjectLiteral(tuple(entries))

    def _word(self) -> Expression:
        token = self._advance()
        upper = token.text.upper()
        if upper == "EXISTS" and self._token.is_symbol("("):
            query = self._parenthesis()
            if not isinstance(query, Nested):
                raise self._fault("a nested SELECT after EXISTS")
            return Exists(query)
        if self._token.is_symbol("("):
            return self._with_members(self._call(token))
        if upper == "CASE":
            return self._case()
        if upper in ("TRUE", "FALSE"):
            return Literal(upper == "TRUE")
        if upper == "NULL":
            return Literal(None)
        if upper == "UNDEFINED":
            return UndefinedLiteral()
        # SET begins a statement and VALUE a SELECT; everywhere else they are names like any other.
        if upper in _RESERVED - {"VALUE", "SET"}:
            self._index -= 1
            raise self._fault("an expression")
        return Path((token.text, *self._members()))

    def _call(self, name: Token) -> Expression:
        self._expect_symbol("(")
        if name.text.upper() == "CAST":
            return self._cast()
        arguments: list[Expression] = []
        while not self._take_symbol(")"):
            if self._token.is_word("SELECT"):
                arguments.append(self._nested())
            else:
                arguments.append(self.expression())
            if not self._token.is_symbol(")"):
                self._expect_symbol(",")
        return Call(name.text.lower(), name.text, tuple(arguments))

    def _cast(self) -> Expression:
        operand = self.expression()
        self._expect_word("AS")
        type_name = _CAST_TYPES.get(self._token.text.upper()) if self._token.kind == "word" else None
        if type_name is None:
            raise self._fault("String, Int, Decimal or Boolean")
        self._advance()
        self._expect_symbol(")")
        return Cast(operand, type_name)

    def _case(self) -> Expression:
        operand = None if self._token.is_word("WHEN") else self.expression()
        branches: list[tuple[Expression, Expression]] = []
        while self._take_word("WHEN"):
            condition = self.expression()
            self._expect_word("THEN")
            branches.append((condition, self.expression()))
        if not branches:
            raise self._fault("WHEN")
        otherwise = self.expression() if self._take_word("ELSE") else None
        self._expect_word("END")
        return Case(operand, tuple(branches), otherwise)


def _number(token: Token) -> int | Decimal:
    """Raises: TemplateError for a number beyond the 34 digits of an Int and the 1E999 of a Decimal."""
    text = token.text
    if text.isdigit() and len(text.lstrip("0")) <= MAXIMUM_DIGITS:
        return int(text)
    number = _DECIMAL.create_decimal(text)
    if not number.is_finite():
        raise TemplateError(f"SQL position {token.position}: {text[:40]} is larger than a Decimal can be")
    return number
