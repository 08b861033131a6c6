/** A value as JSON. Counters are numbers there, however long: JSON has room for 64 bits. */
export function toJson(value: unknown): string {
  const marked = JSON.stringify(
    value,
    (_key, item: unknown) => (typeof item === 'bigint' ? `\u0000${item}` : item),
    2,
  );
  return `${marked.replaceAll(/"\\u0000(-?[0-9]+)"/g, '$1')}\n`;
}
