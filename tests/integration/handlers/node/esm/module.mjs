import path from "node:path";

const prepared = await Promise.resolve("ready");

export const handler = async (event) => ({ prepared, base: path.basename(import.meta.url), event });
