"""``/``: prior beside latentrs, same seed, one self-contained page."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from service.http.pages import page_response

router = APIRouter()


@router.get("/", include_in_schema=False)
async def page() -> HTMLResponse:
    """Plain HTML and a few lines of script; nothing is fetched from elsewhere."""
    return page_response(PAGE)


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Winnow</title>
<style>
  :root { color-scheme: light dark }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
  form { display: flex; flex-wrap: wrap; gap: 1rem; align-items: end; margin: 1.5rem 0 }
  label { display: flex; flex-direction: column; font-size: .85rem }
  select, input, button { font: inherit; padding: .3rem .5rem }
  input { width: 7rem }
  .pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1.5rem }
  figure { margin: 0 }
  img { width: 100%; image-rendering: pixelated; background: #8882; min-height: 10rem }
  figcaption { font-size: .85rem }
  [role=alert] { color: #b91c1c }
</style>
<h1>Winnow</h1>
<p>Left: latents straight from the prior. Right: latents that passed the filter. Same model, same seed.
<a href="docs">API</a> &middot; <a href="models">models</a> &middot; <a href="metrics">metrics</a></p>
<form>
  <label>Model <select name="model"></select></label>
  <label>Method <select name="method"></select></label>
  <label>Samples <input name="n" type="number" min="1" max="1024" value="64"></label>
  <label>Seed <input name="seed" type="number" min="0" value="1"></label>
  <label hidden>API key <input name="key" type="password" autocomplete="off"></label>
  <button>Sample</button>
  <button type="button" id="next">Next seed</button>
</form>
<p role="alert"></p>
<div class="pair">
  <figure><img id="left" alt="Samples from the prior"><figcaption></figcaption></figure>
  <figure><img id="right" alt="Filtered samples"><figcaption></figcaption></figure>
</div>
<script>
const form = document.querySelector("form"), alertLine = document.querySelector("[role=alert]");
let models = {};
async function ask(path, headers = {}) {
  if (form.key.value) headers["X-API-Key"] = form.key.value;
  const answer = await fetch(path, { headers });
  form.key.parentElement.hidden &&= answer.status !== 401;
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer;
}
const shown = work => work.catch(error => { alertLine.textContent = error.message });
async function show(id, method) {
  const image = document.getElementById(id), caption = image.nextElementSibling;
  const query = new URLSearchParams({ model: form.model.value, method, n: form.n.value, seed: form.seed.value });
  const answer = await ask("sample?" + query, { Accept: "image/png" });
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(await answer.blob());
  const rate = 100 * Number(answer.headers.get("Sample-Acceptance-Rate"));
  const proposals = answer.headers.get("Sample-Proposals");
  caption.textContent = `${method}: accepted ${rate.toFixed(1)} % of ${proposals} proposals`;
}
async function draw() {
  alertLine.textContent = "";
  if (!form.model.length) await list();
  await show("left", "prior");
  await show("right", form.method.value);
}
function choices() {
  const model = models[form.model.value];
  form.method.replaceChildren(...model.methods.map(name => new Option(name)));
  form.method.value = model.default_method;
}
form.addEventListener("submit", event => { event.preventDefault(); shown(draw()) });
form.model.addEventListener("change", () => { choices(); shown(draw()) });
document.getElementById("next").addEventListener("click", () => {
  form.seed.value = Number(form.seed.value) + 1;
  shown(draw());
});
async function list() {
  const found = await (await ask("models")).json();
  for (const model of found.models) if (model.status === "ready") {
    models[model.name] = model;
    form.model.add(new Option(model.name));
  }
  form.model.value = found.default;
  choices();
}
shown(draw());
</script>
</html>
"""
