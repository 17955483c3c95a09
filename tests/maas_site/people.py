"""The people of the made-up MAAS: users, SSH keys, API keys, and a key that belongs to a machine."""

from __future__ import annotations

from tests.maas_site.tables import JOINED, Tables

ADMIN, OPERATOR, INACTIVE, EXTERNAL = 3, 4, 5, 6
SSH_KEYS = {
    ADMIN: (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINqE1AbAo7FTDtY0ML6ciVc6OMdNEOAAjZNWiSHoRu/r anna@desk",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKP8qB3eqk93zs7uN+37+9TEXxF3moKwvY0+BqktThho anna@laptop",
    ),
    OPERATOR: ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC8zYSsYqotekS5HM2NXAnb46tk0bspMKa3OaSJY996+ olaf",),
}
NO_PASSWORD = "!"  # noqa: S105  # how the "hash" of users without one begins
# Of the words "correct horse" and a salt, as Django writes it.
PASSWORD = "correct horse"  # noqa: S105
PASSWORD_HASH = "pbkdf2_sha256$1000$saltofthesite$oVzKHMAdwMxvFZBPw9qk7RPzyVSyaNq6xC+Mf+Y0EWs="  # noqa: S105


def people() -> Tables:
    return {
        "auth_user": [
            _user(1, "MAAS", "", full_name="Special user", password=NO_PASSWORD),
            _user(2, "maas-init-node", None, password=NO_PASSWORD),
            _user(ADMIN, "anna", "anna@example.com", full_name="Anna Ädmin", is_superuser=True),
            _user(OPERATOR, "olaf", "olaf@example.com", full_name="Olaf O'Per\tator"),
            _user(INACTIVE, "ines", "ines@example.com", is_active=False),
            _user(EXTERNAL, "emil", None, password=f"{NO_PASSWORD}zJ3hGzUnusable"),
        ],
        "maasserver_userprofile": [
            {"id": number, "user_id": number, "is_local": number != EXTERNAL, "completed_intro": True}
            for number in (1, ADMIN, OPERATOR, INACTIVE, EXTERNAL)
        ],
        "maasserver_sshkey": [
            {"id": number, "user_id": user, "key": key, "protocol": None, "auth_id": None,
             "created": JOINED, "updated": JOINED}
            for number, (user, key) in enumerate(
                ((user, key) for user, keys in SSH_KEYS.items() for key in keys), start=1
            )
        ],
        "piston3_consumer": [
            _consumer(1, ADMIN, "MAAS consumer"),
            _consumer(2, OPERATOR, "MAAS consumer"),
            _consumer(3, OPERATOR, "terraform"),
            _consumer(4, 2, "node"),
            _consumer(5, ADMIN, "never approved"),
        ],
        "piston3_token": [
            _token(1, ADMIN),
            _token(2, OPERATOR),
            _token(3, OPERATOR),
            _token(4, 2),
            _token(5, ADMIN, token_type=1, is_approved=False),
        ],
        "maasserver_nodekey": [
            {"id": 1, "node_id": 101, "token_id": 4, "key": "nodekey00000000004", "created": JOINED, "updated": JOINED}
        ],
    }  # fmt: skip


def _user(
    number: int, name: str, email: str | None, *, full_name: str = "", is_superuser: bool = False,
    is_active: bool = True, password: str = PASSWORD_HASH,
) -> dict[str, object]:  # fmt: skip
    return {
        "id": number, "username": name, "email": email, "first_name": "", "last_name": full_name,
        "is_superuser": is_superuser, "is_staff": is_superuser, "is_active": is_active, "password": password,
        "date_joined": JOINED, "last_login": None,
    }  # fmt: skip


def _consumer(number: int, user: int, name: str) -> dict[str, object]:
    return {
        "id": number, "name": name, "description": "", "key": f"consumer{number:010}", "secret": "",
        "status": "accepted", "user_id": user,
    }  # fmt: skip


def _token(number: int, user: int, *, token_type: int = 2, is_approved: bool = True) -> dict[str, object]:
    return {
        "id": number, "key": f"token{number:013}", "secret": f"secret{number:026}", "verifier": "",
        "token_type": token_type, "timestamp": 1767000000, "is_approved": is_approved, "callback": None,
        "callback_confirmed": False, "consumer_id": number, "user_id": user,
    }  # fmt: skip
