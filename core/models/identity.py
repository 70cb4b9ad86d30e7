"""Organizations, the people in them, and the roles they have there."""

from typing import Any, ClassVar, Self

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.db import models
from django.db.models.functions import Upper

from core.constraints import json_object
from core.models.base import Audited, OrganizationRecord, Record, RecordQuerySet
from core.triggers import SharedTrigger, pgtrigger


class PlanTier(models.TextChoices):
    """What an organization pays for."""

    FREE = "free", "Free"
    PRO = "pro", "Pro"
    ENTERPRISE = "enterprise", "Enterprise"


class OrganizationQuerySet(RecordQuerySet):
    """Reads of organizations."""

    def for_organization(self, organization: Any) -> Self:
        """Return only the organization itself."""
        return self.filter(pk=getattr(organization, "pk", organization))

    def get_by_natural_key(self, slug: str) -> "Organization":
        """Return the organization with this slug."""
        return self.get(slug=slug)  # type: ignore[return-value]


class Organization(Audited, Record):
    """A tenant: the owner of every other record. It is deactivated, not deleted."""

    audit_organization_column = "id"

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    plan_tier = models.CharField(max_length=20, choices=PlanTier, default=PlanTier.FREE)
    settings = models.JSONField(default=dict, blank=True)
    is_active = models.BooleanField(default=True, help_text="Members of an inactive organization can't act in it.")

    objects: ClassVar = OrganizationQuerySet.as_manager()

    class Meta(Record.Meta):
        constraints = [
            models.CheckConstraint(
                name="core_organization_plan_tier",
                condition=models.Q(plan_tier__in=PlanTier.values),
                violation_error_message="“plan_tier” must be one of the plan tiers.",
            ),
            models.CheckConstraint(
                name="core_organization_slug_shape",
                condition=models.Q(slug__regex=r"^[a-z0-9]+(-[a-z0-9]+)*$"),
                violation_error_message="“slug” takes lower-case letters and digits, joined by single hyphens.",
            ),
            models.CheckConstraint(
                name="core_organization_name_given",
                condition=~models.Q(name=""),
                violation_error_message="“name” can't be empty.",
            ),
            json_object("settings", name="core_organization_settings"),
        ]
        indexes = [models.Index(fields=["created_at", "id"], name="core_organization_newest")]

    def __str__(self) -> str:
        return self.name

    def natural_key(self) -> tuple[str]:
        """Return what fixtures name the organization by."""
        return (self.slug,)


class UserManager(BaseUserManager.from_queryset(RecordQuerySet)):  # type: ignore[misc]
    """Makes users, and finds them by email without regard to case."""

    def get_by_natural_key(self, email: str) -> "User":
        """Return the user who logs in with this email."""
        return self.get(email__iexact=email)

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Make a user. Without a password the user can't log in until one is set."""
        if not email:
            raise ValueError("A user needs an email address.")
        fields.setdefault("username", email.partition("@")[0])
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Make a user who may do everything, in every organization."""
        return self.create_user(email, password, **{"is_staff": True, "is_superuser": True} | fields)


class User(Audited, Record, AbstractBaseUser, PermissionsMixin):
    """A person. What a person may do in an organization is the membership's role.

    ``is_staff`` opens the admin, where Django's groups say what a person may do, in the organizations that the
    person is a member of; ``is_superuser`` opens all of them.
    """

    audit_organization_column = None
    audit_redact = ("password",)
    audit_ignore = ("last_login",)
    organization_path = "memberships__organization"

    email = models.EmailField(help_text="The login, without regard to case.")
    username = models.CharField(max_length=150, validators=[UnicodeUsernameValidator()])
    name = models.CharField(max_length=200, blank=True)
    email_verified = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True, help_text="An inactive user can't log in, nor act by API key.")
    is_staff = models.BooleanField(default=False, help_text="May log in to the admin.")

    objects: ClassVar = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["username"]

    class Meta(Record.Meta):
        constraints = [
            models.UniqueConstraint(
                Upper("email"),  # as the lookup "iexact" compares, so that logging in uses the index
                name="core_user_email_unique",
                violation_error_message="“email” belongs to another user already.",
            ),
            models.CheckConstraint(
                name="core_user_email_shape",
                condition=models.Q(email__regex=r"^[^@\s]+@[^@\s]+$"),
                violation_error_message="“email” must be an email address.",
            ),
        ]
        indexes = [
            models.Index(fields=["created_at", "id"], name="core_user_newest"),
        ]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        """Normalize the email's domain."""
        super().clean()
        self.email = type(self).objects.normalize_email(self.email)

    def get_full_name(self) -> str:
        """Return the name, or the email where there is none."""
        return self.name or self.email

    def get_short_name(self) -> str:
        """Return the first word of the name, or the username."""
        return self.name.split(" ")[0] or self.username

    def email_user(self, subject: str, message: str, from_email: str | None = None, **kwargs: Any) -> None:
        """Send the user an email."""
        send_mail(subject, message, from_email, [self.email], **kwargs)

    def role_in(self, organization: "Organization | Any") -> "Role | None":
        """Return the user's role in the organization, or None for a stranger."""
        role = self.memberships.filter(organization=organization).values_list("role", flat=True).first()
        return Role(role) if role else None

    def change_password(self, password: str) -> None:
        """Set a password that the validators accept; ValidationError says what they dislike."""
        validate_password(password, self)
        self.set_password(password)
        self.save(update_fields=["password"])


class Role(models.TextChoices):
    """What a member may do. Each role but the customer's includes those below it."""

    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    MEMBER = "member", "Member"
    VIEWER = "viewer", "Viewer"
    CUSTOMER = "customer", "Customer"

    @property
    def rank(self) -> int:
        """Return the role's height, for comparing."""
        return {"owner": 4, "admin": 3, "member": 2, "viewer": 1, "customer": 0}[self.value]

    def includes(self, other: "Role") -> bool:
        """Tell whether this role may do what ``other`` may."""
        return self.rank >= other.rank


class LastOwner(SharedTrigger):
    """Refuses to take away an organization's last owner."""

    name = "last_owner"
    when = pgtrigger.After
    operation = pgtrigger.Update | pgtrigger.Delete
    function = "muster_last_owner"


class Membership(OrganizationRecord):
    """A user's role in an organization; one for each pair."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="memberships", db_index=False)
    role = models.CharField(max_length=20, choices=Role, default=Role.MEMBER)

    class Meta(OrganizationRecord.Meta):
        constraints = [
            *OrganizationRecord.Meta.constraints,
            models.UniqueConstraint(
                fields=["organization", "user"],
                name="core_membership_pair",
                violation_error_message="“user” is a member of this organization already.",
            ),
            models.CheckConstraint(
                name="core_membership_role",
                condition=models.Q(role__in=Role.values),
                violation_error_message="“role” must be one of the roles.",
            ),
        ]
        triggers = [LastOwner()]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"

    def clean(self) -> None:
        """Refuse to take away the last owner, in kinder words than the database's."""
        super().clean()
        stored = type(self).objects.filter(pk=self.pk).first()
        if stored and stored.role == Role.OWNER and self.role != Role.OWNER and stored.is_last_owner():
            raise ValidationError({"role": "An organization never loses its last owner."})

    def is_last_owner(self) -> bool:
        """Tell whether the organization would have no owner without this membership."""
        if self.role != Role.OWNER:
            return False
        others = type(self).objects.filter(organization_id=self.organization_id, role=Role.OWNER)
        return not others.exclude(pk=self.pk).exists()
