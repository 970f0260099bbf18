// Loaded into dynalite before it starts. Its parsers of expressions were made without a memory (PEG.js, `cache: false`):
// they try one rule after another, and each reads what lies under it again, which takes a third of the server's time.
// Here each rule reads each place once. That is what PEG.js makes of the same grammar with `cache: true`.
"use strict";

const fs = require("fs");
const Module = require("module");

const loadAsItIs = Module._extensions[".js"];

const memory = `
  var peg$known = new Map();
  function peg$once(rule, read) {
    const place = peg$currPos * 64 + rule, known = peg$known.get(place);
    if (known !== undefined) {
      peg$currPos = known.end;
      return known.found;
    }
    const found = read();
    peg$known.set(place, { found, end: peg$currPos });
    return found;
  }
`;

function withMemory(source) {
  let rules = 0;
  return source
    .replace("function peg$parse(input, options) {", (start) => start + memory)
    .replace(
      /function (peg\$parse\w+)\(\) \{/g,
      (_, name) => `function ${name}() { return peg$once(${rules++}, ${name}$read); } function ${name}$read() {`,
    );
}

Module._extensions[".js"] = (module, file) => {
  if (/[\\/]dynalite[\\/]db[\\/]\w+Parser\.js$/.test(file)) {
    module._compile(withMemory(fs.readFileSync(file, "utf8")), file);
  } else {
    loadAsItIs(module, file);
  }
};
