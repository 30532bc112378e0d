// Rows of a preview or a query: types in the head, NULL told from text, long values cut until asked.
import { useState } from "react";

const CUT = 120;

function Cell({ value, texts }) {
  const [isOpen, open] = useState(false);
  if (value === null) return <span className="null">NULL</span>;
  if (typeof value === "boolean" || typeof value === "number") return <span className="number">{String(value)}</span>;
  if (value === "") return <span className="null">{texts["connection.empty_text"]}</span>;
  if (value.length <= CUT) return value;
  return (
    <>
      {isOpen ? value : `${value.slice(0, CUT)}…`}{" "}
      <button type="button" className="text-button" aria-expanded={isOpen} onClick={() => open(!isOpen)}>
        {isOpen ? texts["connection.less"] : texts["connection.more"]}
      </button>
    </>
  );
}

export function ResultGrid({ result, label, texts, locale }) {
  const count = new Intl.NumberFormat(locale).format(result.rows.length);
  const isNumber = (index) => typeof result.rows.find((row) => row[index] !== null)?.[index] === "number";
  return (
    <div className="result">
      <div className="result-wrap" tabIndex={0} role="region" aria-label={label}>
        <table>
          <caption className="visually-hidden">{label}</caption>
          <thead>
            <tr>
              {result.columns.map((column, index) => (
                <th key={index} scope="col" className={isNumber(index) ? "end" : undefined}>
                  <span dir="auto">{column.name}</span>
                  <span className="type">{column.data_type}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {result.rows.map((row, number) => (
              <tr key={number}>
                {row.map((value, index) => (
                  <td key={index} className={typeof value === "number" ? "end" : undefined} dir="auto">
                    <Cell value={value} texts={texts} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p className="result-foot muted" role="status">
        {texts["connection.rows_shown"]} <span className="number">{count}</span>
        {result.is_truncated && <> · {texts["connection.rows_more"]}</>}
        {result.truncated_cells > 0 && <> · {texts["connection.cells_cut"]}</>}
      </p>
    </div>
  );
}
