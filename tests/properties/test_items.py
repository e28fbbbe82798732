"""Values of the table, whatever they are."""

from hypothesis import given
from hypothesis import strategies as st

from streams.items import plain, scalar
from streams.record import Scalar


@given(
    st.none()
    | st.booleans()
    | st.text(max_size=30)
    | st.integers(min_value=-(10**37), max_value=10**37)
    | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100)
)
def test_a_scalar_comes_back_as_it_was_sent(value: Scalar) -> None:
    assert plain(scalar(value)) == value
