"""Deploy a template on a store that is thrown away: every fault is known before anything of the user's is touched."""

from headwater.auth.jwt import PoolKey
from headwater.deploy.bring_up import deploy_stack
from headwater.deploy.compiled import Compiled
from headwater.deploy.deployment import Deployment
from headwater.deploy.loading import LoadedTemplate
from headwater.deploy.options import UpOptions
from headwater.deploy.wiring import Site
from headwater.storage.store import Store


async def rehearse(options: UpOptions, loaded: LoadedTemplate, compiled: Compiled) -> Deployment:
    """The deployment a start would make, to be read only; its `faults` are what is wrong with the template.

    Raises: TemplateError for a fault of the whole template.
    """
    store = Store.open(None)
    try:
        url = f"http://{options.host}:{options.port}"
        site = Site(store, store.path, url, options.host, "rehearsal", make_pool_key=_no_key, is_rehearsal=True)
        return await deploy_stack(options, loaded, site, compiled)
    finally:
        await store.close()


def _no_key() -> PoolKey:
    # Making an RSA key takes longer than the rest of a rehearsal, in which nobody signs.
    return PoolKey("", "")
