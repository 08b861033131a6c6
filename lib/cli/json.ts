/** Formats a value as JSON. Bigints become numbers with all their digits, which JSON permits. */
export function toJson(value: unknown): string {
  const marked = JSON.stringify(
    value,
    (_key, item: unknown) => (typeof item === 'bigint' ? `\u0000${item}` : item),
    2,
  );
  return `${marked.replaceAll(/"\\u0000(-?[0-9]+)"/g, '$1')}\n`;
}
