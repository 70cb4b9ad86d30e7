"""What a deletion takes along in the admin: what the product wrote goes with what it was made for."""

import pytest
from django.urls import reverse

from core.models import Organization, Webhook, WebhookDelivery
from knowledge.models import Chunk, Collection
from tests.admin.conftest import Staff
from tests.factories import make

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("part", "root"), [(Chunk, Collection), (WebhookDelivery, Webhook)])
def test_what_nobody_writes_by_hand_goes_along(
    part: type, root: type, staff: Staff, organization: Organization
) -> None:
    row = make(part, organization)
    record = row.webhook if root is Webhook else row.document.collection
    name = f"admin:{root._meta.app_label}_{root._meta.model_name}_delete"  # type: ignore[attr-defined]
    page = staff.client.get(reverse(name, args=[record.pk])).content.decode()
    assert "permission" not in page
    answer = staff.client.post(reverse(name, args=[record.pk]), {"post": "yes"})
    assert answer.status_code == 302
    assert not root.objects.filter(pk=record.pk).exists()  # type: ignore[attr-defined]
    assert not part.objects.filter(pk=row.pk).exists()  # type: ignore[attr-defined]
