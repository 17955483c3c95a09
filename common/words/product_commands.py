"""The commands of LXD and Incus that messages name, by the product. Pure."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class ProductCommands:
    """The words that an administrator types on a server of this product."""

    product: str  # for people
    client: str
    add_certificate: str  # followed by a file; `-` is the standard input
    token_commands: tuple[str, ...]  # with that of the other product where it is not known which one answers
    takes_passwords: bool  # a trust password instead of a token
    has_identities: bool  # in some releases: certificates that are in no trust list

    @property
    def how_to_trust(self) -> str:
        """The command that prints a trust token, in a sentence."""
        return ", or with Incus: ".join(self.token_commands)

    @property
    def check_certificate(self) -> str:
        """The command that prints the fingerprint of the server's certificate."""
        return f"{self.client} info | grep certificate_fingerprint"

    def untrust(self, *fingerprints: str, of_identity: bool | None = None) -> str:
        """The commands that remove certificates from the trust list, or with their identities; None: not known which.

        Each runs even if another does not find its certificate.
        """
        listed = "; ".join(f"{self.client} config trust remove {one}" for one in fingerprints)
        if of_identity is False or not self.has_identities:
            return listed
        identities = "; ".join(f"{self.client} auth identity delete tls/{one}" for one in fingerprints)
        return identities if of_identity else f"{listed} — or, if it is that of an identity: {identities}"


_LXC_TOKEN = "lxc config trust add --name innkeeper"  # noqa: S105  # a command, no secret
_INCUS_TOKEN = "incus config trust add innkeeper"  # noqa: S105  # a command, no secret

LXD = ProductCommands(
    product="LXD", client="lxc", add_certificate="lxc config trust add",
    token_commands=(_LXC_TOKEN,), takes_passwords=True, has_identities=True,
)  # fmt: skip
INCUS = ProductCommands(
    product="Incus", client="incus", add_certificate="incus config trust add-certificate",
    token_commands=(_INCUS_TOKEN,), takes_passwords=False, has_identities=False,
)  # fmt: skip
UNKNOWN = ProductCommands(
    product="LXD", client="lxc", add_certificate="lxc config trust add",
    token_commands=(_LXC_TOKEN, _INCUS_TOKEN), takes_passwords=True, has_identities=True,
)  # fmt: skip
_KNOWN = {one.product: one for one in (LXD, INCUS)}
PRODUCTS = frozenset(_KNOWN)


def commands_of(product: str) -> ProductCommands:
    """Returns those of a host's `product`; those of LXD, with both ways to a token, while that is not known."""
    return _KNOWN.get(product, UNKNOWN)
