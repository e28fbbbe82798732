"""The policy variables of a device: those of its thing and those of its certificate.

Source: AWS IoT Core Developer Guide, "Thing policy variables" and "X.509 Certificate policy variables".
"""

from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

_NAME_PARTS: Mapping[x509.ObjectIdentifier, str] = {
    NameOID.DN_QUALIFIER: "DistinguishedNameQualifier",
    NameOID.COUNTRY_NAME: "Country",
    NameOID.ORGANIZATION_NAME: "Organization",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OrganizationalUnit",
    NameOID.STATE_OR_PROVINCE_NAME: "State",
    NameOID.COMMON_NAME: "CommonName",
    NameOID.SERIAL_NUMBER: "SerialNumber",
    NameOID.TITLE: "Title",
    NameOID.SURNAME: "Surname",
    NameOID.GIVEN_NAME: "GivenName",
    NameOID.INITIALS: "Initials",
    NameOID.PSEUDONYM: "Pseudonym",
    NameOID.GENERATION_QUALIFIER: "GenerationQualifier",
}


def thing_variables(thing: Mapping[str, Any] | None) -> dict[str, Any]:
    """`thing` is that of the client's id if the certificate is attached to it, else None: nothing but IsAttached."""
    prefix = "iot:Connection.Thing."
    if thing is None:
        return {f"{prefix}IsAttached": False}
    variables: dict[str, Any] = {f"{prefix}IsAttached": True, f"{prefix}ThingName": thing["thingName"]}
    if "thingTypeName" in thing:
        variables[f"{prefix}ThingTypeName"] = thing["thingTypeName"]
    for name, value in thing["attributes"].items():
        variables[f"{prefix}Attributes[{name}]"] = value
    return variables


def certificate_variables(certificate: x509.Certificate, certificate_id: str) -> dict[str, Any]:
    """Subject and issuer; an attribute with several values has them as `.0`, `.1`, … and all of them as `.List`."""
    variables: dict[str, Any] = {
        "iot:CertificateId": certificate_id,
        "iot:Certificate.SerialNumber": str(certificate.serial_number),
    }
    for part, name in (("Subject", certificate.subject), ("Issuer", certificate.issuer)):
        found: dict[str, list[str]] = {}
        for attribute in name:
            label = _NAME_PARTS.get(attribute.oid)
            if label is not None:
                value = attribute.value
                found.setdefault(label, []).append(value if isinstance(value, str) else value.hex())
        for label, values in found.items():
            variable = f"iot:Certificate.{part}.{label}"
            variables[variable] = values[0]
            variables[f"{variable}.List"] = values
            variables.update({f"{variable}.{index}": value for index, value in enumerate(values)})
    return variables
