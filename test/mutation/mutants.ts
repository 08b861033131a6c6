import * as ts from 'typescript';

/** A change of a compiled file. */
export interface Mutant {
  readonly file: string;
  /** The line of the compiled file, from 1. */
  readonly line: number;
  /** The changed part of the file. */
  readonly start: number;
  readonly end: number;
  readonly replacement: string;
  /** The position of the statement that contains it, in a block or the file. */
  readonly statement: number;
}

/** Every operator that is replaced, and its replacement. */
const OPERATORS = new Map([
  [ts.SyntaxKind.LessThanToken, '<='],
  [ts.SyntaxKind.LessThanEqualsToken, '<'],
  [ts.SyntaxKind.GreaterThanToken, '>='],
  [ts.SyntaxKind.GreaterThanEqualsToken, '>'],
  [ts.SyntaxKind.EqualsEqualsToken, '!='],
  [ts.SyntaxKind.EqualsEqualsEqualsToken, '!=='],
  [ts.SyntaxKind.ExclamationEqualsToken, '=='],
  [ts.SyntaxKind.ExclamationEqualsEqualsToken, '==='],
  [ts.SyntaxKind.AmpersandAmpersandToken, '||'],
  [ts.SyntaxKind.BarBarToken, '&&'],
  [ts.SyntaxKind.QuestionQuestionToken, '&&'],
]);

/** What the compiler adds to the package's code, and the calls that no constructor can do without. */
const GENERATED = /^("use strict"|exports\.|Object\.defineProperty\(exports|super\()/;

const isRemovable = (node: ts.Node) =>
  ts.isExpressionStatement(node) ||
  ts.isReturnStatement(node) ||
  ts.isThrowStatement(node) ||
  ts.isContinueStatement(node);

const isNegation = (node: ts.Node): node is ts.PrefixUnaryExpression =>
  ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.ExclamationToken;

const isCondition = (node: ts.Node) =>
  (ts.isIfStatement(node.parent) && node.parent.expression === node) ||
  (ts.isConditionalExpression(node.parent) && node.parent.condition === node);

/** Whether a node is a statement of a list, before which another one can be inserted. */
const isListed = (node: ts.Node) =>
  ts.isStatement(node) &&
  (ts.isBlock(node.parent) ||
    ts.isSourceFile(node.parent) ||
    ts.isCaseOrDefaultClause(node.parent));

/** Finds all mutants of a compiled file, in the order of the file. */
export function findMutants(file: string, text: string): Mutant[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.JS);
  const mutants: Mutant[] = [];

  function visit(node: ts.Node, around: number): void {
    const [text, start] = [node.getText(), node.getStart()];
    const statement = isListed(node) ? start : around;
    const { line } = source.getLineAndCharacterOfPosition(start);
    const add = (replacement: string) => {
      mutants.push({ file, line: line + 1, start, end: node.end, replacement, statement });
    };

    if (ts.isBinaryExpression(node)) {
      const operator = OPERATORS.get(node.operatorToken.kind);
      const [left, right] = [node.left.getText(), node.right.getText()];
      if (operator !== undefined) add(`((${left}) ${operator} (${right}))`);
    } else if (isNegation(node)) {
      add(node.operand.getText());
    } else if (isCondition(node)) {
      add(`!(${text})`);
    } else if (isRemovable(node) && !GENERATED.test(text)) {
      add(';');
    }
    ts.forEachChild(node, (child) => {
      visit(child, statement);
    });
  }
  ts.forEachChild(source, (child) => {
    visit(child, 0);
  });
  return mutants;
}

/** Applies a mutant to the text of its file. */
export const mutate = (text: string, { start, end, replacement }: Mutant): string =>
  text.slice(0, start) + replacement + text.slice(end);

/** Inserts a call of `hit` before each statement that contains a mutant, with the position of the statement. */
export function instrument(text: string, mutants: readonly Mutant[], hit: string): string {
  const positions = [...new Set(mutants.map(({ statement }) => statement))].sort((a, b) => b - a);
  return positions.reduce(
    (before, at) => `${before.slice(0, at)}${hit}(${at});${before.slice(at)}`,
    text,
  );
}
