// The browser gets all modules as one script (walkthrough/render/live.py): no name may stand for two things.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";

const FOLDER = new URL("../../walkthrough/render/", import.meta.url);
const MODULES = readdirSync(FOLDER).filter((name) => name.endsWith(".js"));
const NAME = /^(?:export )?(?:async )?(?:function\*?|const|let|class) (\w+)/gm;

test("every name at the top of a module is its alone", () => {
  const owners = new Map();
  for (const module of MODULES) {
    for (const [, name] of readFileSync(new URL(module, FOLDER), "utf8").matchAll(NAME)) {
      assert.equal(owners.get(name), undefined, `${name} is in ${owners.get(name)} and in ${module}`);
      owners.set(name, module);
    }
  }
  assert.ok(owners.size > 100);
});

test("imports keep their names and their order: none is renamed, none leads back", () => {
  const imports = (module) =>
    [...readFileSync(new URL(module, FOLDER), "utf8").matchAll(/^import \{([^}]*)\} from "\.\/(\w+\.js)";$/gm)].map(
      ([, names, from]) => ({ names, from }),
    );
  const above = new Set();
  const visit = (module, path) => {
    assert.ok(!path.includes(module), `a circle: ${[...path, module].join(" -> ")}`);
    for (const { names, from } of imports(module)) {
      assert.ok(!names.includes(" as "), `${module}: ${names}`);
      visit(from, [...path, module]);
    }
    above.add(module);
  };
  for (const module of MODULES) visit(module, []);
  assert.equal(above.size, MODULES.length);
});
