// Unpacks the browser that @sparticuz/chromium carries, and the libraries beside it, into the folder that is named.
// Its own way is to unpack into the folder for temporary files, which all programs share.
const { createReadStream, createWriteStream, chmodSync } = require("node:fs");
const { pipeline } = require("node:stream/promises");
const { createBrotliDecompress } = require("node:zlib");

const [packed, folder] = process.argv.slice(2);

(async () => {
  for (const [from, to] of [["chromium.br", "chromium"], ["al2023.tar.br", "libraries.tar"], ["fonts.tar.br", "fonts.tar"]]) {
    await pipeline(createReadStream(`${packed}/${from}`), createBrotliDecompress(), createWriteStream(`${folder}/${to}`));
  }
  chmodSync(`${folder}/chromium`, 0o755);
})();
