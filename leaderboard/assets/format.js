// Numbers as people read them. A missing value is a dash, never a zero.

const ABSENT = "–";
const MINUS = "−";

function fixed(value, digits = 3, sign = false) {
  if (value === null || value === undefined) return ABSENT;
  const text = Math.abs(value).toFixed(digits);
  const isZero = Number(text) === 0;
  return (value < 0 && !isZero ? MINUS : sign && !isZero ? "+" : "") + text;
}

function interval(low, high, digits = 3, sign = false) {
  return low === null || low === undefined ? "" : `[${fixed(low, digits, sign)}, ${fixed(high, digits, sign)}]`;
}

function seconds(value) {
  if (value === null || value === undefined) return ABSENT;
  if (value >= 100) return Math.round(value).toLocaleString("en-US");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function gibibytes(bytes) {
  return bytes === null || bytes === undefined ? ABSENT : (bytes / 2 ** 30).toFixed(2);
}

function words(name) {
  return name.replaceAll("_", " ");
}

function titled(name) {
  const text = words(name);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function plural(count, noun) {
  return `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;
}
