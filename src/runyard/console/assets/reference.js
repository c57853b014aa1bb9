// Shows an OpenAPI document of this server, with what the page knows filled in. Runs before
// elements.js.
"use strict";

// Elements would keep what is typed in as a token in local storage, for ever and for every script
// of this origin. It stays in the memory of this page instead.
const TYPED_IN = "TryIt_securitySchemeValues";
const keep = Storage.prototype.setItem;
Storage.prototype.setItem = function (key, value) {
  if (key !== TYPED_IN) keep.call(this, key, value);
};

// The colours follow the system, also when it changes while the page is open.
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => {
  document.documentElement.dataset.theme = dark.matches ? "dark" : "light";
};
dark.addEventListener("change", follow);
follow();

// Gives every parameter whose value the page knows that value.
function prefill(description, values) {
  const parameters = [
    ...Object.values(description.components?.parameters ?? {}),
    ...Object.values(description.paths ?? {}).flatMap((item) => [
      ...(item.parameters ?? []),
      ...Object.values(item).flatMap((operation) => operation?.parameters ?? []),
    ]),
  ];
  for (const parameter of parameters) {
    if (Object.hasOwn(values, parameter.name)) {
      parameter.example = values[parameter.name];
      delete parameter.examples;
    }
  }
}

async function show(place) {
  const answer = await fetch(place.dataset.document, { credentials: "omit" });
  if (!answer.ok) throw new Error(`${place.dataset.document} answers ${answer.status}`);
  const description = await answer.json();
  prefill(description, JSON.parse(place.dataset.prefilled));
  // Requests go to the address that the page came from, behind whatever proxy that is.
  description.servers = [{ url: location.origin }];
  const elements = document.createElement("elements-api");
  elements.setAttribute("router", "hash");
  elements.setAttribute("layout", innerWidth < 800 ? "responsive" : "sidebar");
  elements.setAttribute("apiDescriptionDocument", JSON.stringify(description));
  place.replaceChildren(elements);
}

addEventListener("DOMContentLoaded", () => {
  localStorage.removeItem(TYPED_IN);
  const place = document.getElementById("reference");
  show(place).catch((error) => {
    place.querySelector(".waiting").textContent = `The reference cannot be shown: ${error.message}`;
  });
});
