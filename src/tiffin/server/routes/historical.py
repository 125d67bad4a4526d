"""Routes of training frames: features of the past, and checks before a model learns from them."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from tiffin.agreement import Verification
from tiffin.quality.leakage.report import LeakageReport
from tiffin.server.answers import forms
from tiffin.server.answers.forms import Frame
from tiffin.server.document.openapi import documented
from tiffin.server.requests.call import Call
from tiffin.server.requests.intake import spine_of
from tiffin.server.requests.parameters import Joining, Suspecting, Verifying

router = APIRouter(tags=["training"])


@router.post(
    "/historical", **documented("Make a training frame", frame=Joining, rows="spine", gives=Frame, may_be_empty=True)
)
async def historical(request: Request) -> Response:
    """Give each row of a spine the features of its entities as of its time; without a body, what the tables hold."""
    call = Call(request)
    spine = await spine_of(call, Joining)
    form = forms.form_of(call, nan=spine.given.pop("nan"), envelope=forms.plain_envelope, name="historical")
    return await forms.rows(
        call, form, lambda: forms.all_of(call.store.get_historical_features(spine.frame, **spine.given))
    )


@router.post("/leakage", **documented("Check for leakage", frame=Suspecting, rows="spine", gives=LeakageReport))
async def leakage(request: Request) -> Response:
    """Warn of features that know what is not yet known at the label's time."""
    call = Call(request)
    spine = await spine_of(call, Suspecting)
    return call.result(await call.run(call.store.check_leakage, spine.frame, **spine.given))


@router.post("/verify", **documented("Compare online with offline", body=Verifying, gives=Verification))
async def verify(request: Request) -> Response:
    """Prove on samples that the online index answers what the tables say."""
    call = Call(request)
    asked = (await call.body(Verifying)).given()
    if "features" in asked:
        await call.may_use("read", asked["features"])
    else:
        call.may_all("read")
    return call.result(await call.run(call.store.verify, **asked))
