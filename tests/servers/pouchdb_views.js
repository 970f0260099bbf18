// Loaded into PouchDB Server before it starts. PouchDB makes a new context of V8 for each document that the function of
// a view sees: half of the server's time in tests of filters and views, a fifth of it in all. The functions of a
// database, as CouchDB runs them, share one: so they do here. Each is strict code within a function, and leaves nothing.
"use strict";

const vm = require("vm");

const inNewContext = vm.runInNewContext;
const shared = vm.createContext();

vm.runInNewContext = (code, globals, options) =>
  globals === undefined ? vm.runInContext(code, shared, options) : inNewContext(code, globals, options);
