"""Routes of training sets: list, look up, save, reproduce, drop."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from tiffin.server.answers import covered, forms
from tiffin.server.answers.forms import Frame
from tiffin.server.document.openapi import Own, documented
from tiffin.server.requests.call import Call
from tiffin.server.requests.intake import training_frame_of
from tiffin.server.requests.parameters import NewTrainingSet, Shown
from tiffin.training.sets import TrainingSet

router = APIRouter(prefix="/training-sets", tags=["training"])


@router.get("", **documented("List the training sets", gives=list[TrainingSet]))
async def training_sets(request: Request) -> Response:
    """List the training sets whose tables the caller may see."""
    call = Call(request)
    call.may("read")
    found = await call.run(call.store.training_sets)
    return call.result([one for one in found if all(map(call.caller.sees, covered.made_from(one.lock)))])


@router.get("/{name}", **documented("Look up a training set", gives=TrainingSet))
async def training_set(request: Request, name: Own) -> Response:
    """Tell what a training set was made from, and how."""
    call = Call(request)
    return call.result(await call.training_set("read", name))


@router.post("/{name}", **documented("Save a training set", frame=NewTrainingSet, only_arrow=True, gives=TrainingSet))
async def save(request: Request, name: Own) -> Response:
    """Keep what it takes to make a training frame again; the body is one, as `/historical` gave it as Arrow."""
    call = Call(request)
    call.may("write")
    asked = call.query(NewTrainingSet).given()
    frame = await training_frame_of(call)
    call.may("write", *covered.made_from(frame.lock))
    if asked["replace"]:
        await call.may_replace(call.training_set, name)
    return call.result(await call.run(call.store.save_training_set, name, frame, **asked))


@router.post("/{name}/reproduce", **documented("Make a training frame again", query=Shown, gives=Frame))
async def reproduce(request: Request, name: Own) -> Response:
    """Make a saved training frame again, bit for bit."""
    call = Call(request)
    await call.training_set("read", name)
    form = forms.form_of(call, nan=call.query(Shown).nan, envelope=forms.plain_envelope, name=name)
    return await forms.rows(call, form, lambda: forms.all_of(call.store.reproduce(name)))


@router.delete("/{name}", **documented("Forget a training set", gives=None, status=204))
async def drop(request: Request, name: Own) -> Response:
    """Forget a training set; the tables stay, but its versions may be vacuumed from now on."""
    call = Call(request)
    call.may("write")
    if not call.caller.sees_all:
        # One that is damaged does not say what it was made from: only who may see all can drop it.
        await call.training_set("write", name)
    await call.run(call.store.drop_training_set, name)
    return Response(status_code=204)
