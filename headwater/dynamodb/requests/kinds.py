"""What the inputs of operations are put together from."""

from headwater.dynamodb.requests.shapes import Members, Shape

NAME_PATTERN = "[a-zA-Z0-9_.-]+"


def structure(
    java: str, *, is_required: bool = False, in_list: bool = False, printed: tuple[str, ...] = (), **members: Shape
) -> Shape:
    return Shape(
        "structure",
        is_required=is_required,
        members=Members(members),
        java=java,
        in_list=in_list,
        printed=printed,
    )


def list_of(
    element: Shape,
    minimum: int | None = None,
    maximum: int | None = None,
    *,
    is_required: bool = False,
    is_generic: bool = False,
) -> Shape:
    return Shape(
        "list", element=element, minimum=minimum, maximum=maximum, is_required=is_required, is_generic=is_generic
    )


def choice(*choices: str, is_required: bool = False) -> Shape:
    return Shape("string", choices=choices, is_required=is_required)
