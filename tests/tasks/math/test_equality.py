r"""Equal answers are equal in both orders, in every look; other answers are not, in both orders."""

# ruff: noqa: RUF001 - letters and signs that look like others are tested here

from __future__ import annotations

import random
import time
from itertools import combinations

import pytest

from sftgen_tasks.math.grading import equivalent, strict_answer

# A gold answer and one that says the same, parted by " | ".
SAME = r"""
42 | \mathbf{42}
42 | {\bf 42}
42 | \color{blue}{42}
42 | \color{blue} 42
42 | {\color{red}42}
42 | \fbox{42}
42 | \underline{42}
42 | \Large 42
42 | \mbox{42}
42 | \hbox{42}
42 | \operatorname{42}
42 | \text{42}
42 | \textbf{42}
42 | $42$
42 | \(42\)
42 | \[42\]
42 | __42__
42 | `42`
42 | *42*
42 | ***42***
42 | ４２
42 | 𝟒𝟐
42 | 42.
42 | 42.0
42 | +42
42 | {42}
42 | {{42}}
42 | 42 \text{ units}
42 | 42\text{ square units}
42 | 42 \text{ apples}
42 | 42 apples
42 | 42 \, \mathrm{km/h}
42 | 42 km/h
42 | 42 \text{ km}/\text{h}
42 | 42\ \mathrm{cm}^2
42 | 42\,\text{cm}^{2}
42 | 42 cm²
42 | 42cm
42 | 42 \text{ m}^3
42 | 42 \frac{\text{m}}{\text{s}}
42 | \$42
42 | $42
42 | 42 \text{ dollars}
42 | 42\text{ dollars}
42 | €42
42 | £42
42 | 42 \text{ USD}
42 | 42^{\text{nd}}
42 | 42nd
42 | 42^{nd}
42 | 42\text{nd}
42 | 42^\text{nd}
42 | 42\textsuperscript{nd}
21 | 21^{\text{st}}
3 | 3^{\mathrm{rd}}
3 | 3rd place
5 | 5^{\text{th}} \text{ term}
42 | x = 42
42 | x=42
42 | n = 42
42 | \text{Area} = 42
42 | \text{Answer: } 42
42 | Answer: 42
42 | The final answer is 42
42 | \text{The value of } x \text{ is } 42
42 | Total = 42
42 | \therefore 42
42 | \approx 42
42 | = 42
42 | \text{approximately } 42
42 | \text{about } 42
42 | 40 + 2 = 42
42 | 42 \text{ years old}
42 | 42 years
42 | 42 students
90 | 90°
90 | 90^\circ
90 | 90^{\circ}
90 | 90 \text{ degrees}
90 | 90 degrees
90 | 90\degree
90 | 90º
90^\circ | 90 \text{ degrees}
20 | 20^\circ \text{C}
20 | 20 °C
20 | 20℃
10\% | 10
10\% | 10 percent
10\% | 10 \text{ per cent}
10\% | 10\,\%
10\% | 10 \%
10\% | 0.1
10\% | 10\text{ percent}
10\% | 10 \text{ percent}
10\% | 10％
10\% | \textbf{10\%}
12.5\% | 12.5 \text{ percent}
1000 | 1,000
1000 | 1\,000
1000 | 1{,}000
1000 | 1\ 000
1000 | 1 000
1000 | 1'000
1000 | 1{\,}000
1234567 | 1 234 567
1234567 | 1,234,567
1234567.5 | 1,234,567.5
20000\pi | 20{,}000\pi
20000\pi | 20 000\pi
\frac{20000}{3} | \frac{20,000}{3}
12000x | 12,000x
1000+x | 1,000+x
(1000, 2000) | (1,000, 2,000)
1000, 2000 | 1,000, 2,000
\frac{1}{2} | ½
\frac{3}{4} | ¾
\frac{7}{2} | 3½
\frac{1}{3} | ⅓
\frac12 | 1/2
\frac12 | 0.5
\frac12 | .5
\frac12 | \frac 12
\frac12 | \frac1{2}
\frac12 | \dfrac{1}{2}
\frac12 | 1 / 2
\frac12 | {1 \over 2}
\frac12 | 2^{-1}
\frac12 | 1÷2
-\frac12 | \frac{-1}{2}
-\frac12 | -1/2
-\frac12 | −½
\frac{5}{4} | 1\frac{1}{4}
\frac{5}{4} | 1 \frac14
\frac{5}{4} | 1\ 1/4
\frac{5}{4} | 1 \tfrac{1}{4}
-\frac{5}{4} | -1\frac{1}{4}
-\frac{5}{4} | -1 1/4
\sqrt{2} | √2
\sqrt{2} | √(2)
\sqrt{2} | √{2}
\sqrt{2} | \sqrt 2
\sqrt{2} | \sqrt2
\sqrt{2} | sqrt(2)
\sqrt{2} | sqrt{2}
\sqrt{2} | 2^{1/2}
\sqrt{2} | 2^{\frac12}
4\sqrt{2}+8 | 4√2 + 8
4\sqrt{2}+8 | 8+4√2
\sqrt[3]{2} | ∛2
2\sqrt{3} | 2 \cdot √3
2\sqrt{3} | \sqrt{12}
\frac{\sqrt{2}}{2} | \frac{1}{\sqrt{2}}
\frac{\sqrt{2}}{2} | √2/2
x^2 | x²
x^2+1 | x²+1
x^{10} | x¹⁰
x^{-1} | x⁻¹
x_1 | x₁
2\pi | 2π
2\pi | 2pi
2\pi | 2 \cdot \pi
\pi | π
\theta | θ
-5 | −5
-5 | –5
-5 | - 5
3\times4 | 12
12 | 3×4
12 | 3·4
\infty | ∞
\infty | +\infty
\pm 2 | ±2
2,-2 | ±2
2,-2 | \pm 2
x=2, x=-2 | x = \pm 2
1\pm\sqrt{2} | 1+\sqrt2, 1-\sqrt2
\emptyset | ∅
\emptyset | \varnothing
\emptyset | \text{no solution}
x\le 3 | x ≤ 3
x\le 3 | x \leq 3
x\le 3 | 3 \ge x
x\le 3 | (-\infty, 3]
x\le 3 | x\leqslant 3
(-\infty,3] | x \le 3
(3,4] | 3<x≤4
(3,4] | x \in (3,4]
(3,4] | 4 \ge x > 3
[3,\infty) | x \ge 3
[3,\infty) | x≥3
(3,\infty) | x > 3
(3,\infty) | (3, +\infty)
(-\infty,1)\cup(2,\infty) | x<1 \text{ or } x>2
(-\infty,1)\cup(2,\infty) | x \in (-\infty,1)\cup(2,\infty)
(-\infty,1)\cup(2,\infty) | (2,\infty)\cup(-\infty,1)
(-\infty,0)\cup(0,\infty) | x \neq 0
(-\infty,0)\cup(0,\infty) | \mathbb{R} \setminus \{0\}
(-\infty,\infty) | \mathbb{R}
(-\infty,\infty) | \text{all real numbers}
\{1,2\} | 1, 2
\{1,2\} | \{2,1\}
\{1,2\} | 1 \text{ and } 2
\{1,2\} | 1 and 2
1,2 | 1 or 2
1,2 | x = 1, x = 2
1,2 | x=1 \text{ or } x=2
1,2 | x = 1 or 2
1,2,3 | 1, 2, \text{ and } 3
1,2,3 | 1; 2; 3
-2,-2 | (-2,-2)
(-2,-2) | \left(-2, -2\right)
(1,1,1) | 1,1,1
(1,2) | x=1, y=2
(1,2) | (x,y)=(1,2)
(1,2) | \left( 1 , 2 \right)
(1,2) | \langle 1, 2 \rangle
x=1,y=2 | y=2, x=1
\frac{46}{3} | 15.\overline{3}
\frac{46}{3} | 15.\overline3
\frac{46}{3} | 15.\bar{3}
\frac{46}{3} | 15.333...
\frac{46}{3} | 15.333\ldots
\frac{46}{3} | 15.(3)
\frac{46}{3} | 15.\dot{3}
\frac{1}{6} | 0.1\overline{6}
\frac{3}{11} | 0.\overline{27}
\frac{1}{7} | 0.\overline{142857}
1 | 0.\overline{9}
\frac{1}{3} | 0.333333
\frac{2}{3} | 0.666667
\frac{1}{2a}(e^{at}-e^{-at}) | \frac{\sinh(at)}{a}
\frac{1}{2a}(e^{at}-e^{-at}) | \frac{\sinh at}{a}
\cosh x | \frac{e^x+e^{-x}}{2}
\tanh x | \frac{\sinh x}{\cosh x}
\frac{\sinh(at)}{a} | \frac{\operatorname{sinh}(at)}{a}
\sin x | \operatorname{sin} x
\sin x | \mathrm{sin}(x)
\sin^2 x + \cos^2 x | 1
2\sin x\cos x | \sin 2x
\ln 2 | \log_e 2
\frac{37}{4}m | \frac{37m}{4}
\frac{1}{2}g | \frac{g}{2}
\frac{c}{\sqrt2} | \frac{1}{\sqrt{2}}c
5m | 5 m
3s | 3s
\frac{L}{2} | \frac12 L
2h | h \cdot 2
5 | 5m
5 | 5 \text{ m}
5 | 5 m
5 cm | 5 \text{ centimeters}
1 \text{ m} | 100 \text{ cm}
2 \text{ hours} | 120 \text{ minutes}
2516_8 | 2516_{8}
2516_8 | 2516
2516_8 | 2516_{\text{eight}}
2516_8 | 2516 \text{ (base 8)}
2516_8 | (2516)_8
101_2 | 101_{2}
42 \text{ million} | 42,000,000
42 \text{ million} | 42 \times 10^6
\$42 \text{ million} | 42 million dollars
3 \text{ thousand} | 3000
1e-5 | 0.00001
1.5\times10^{-5} | 0.000015
10^{-7} | 0.0000001
6.02 \times 10^{23} | 6.02 \cdot 10^{23}
\frac{1}{2^{99}} | 2^{-99}
y = 2x+3 | y=3+2x
y = 2x+3 | 2x+3
y = 2x+3 | y - 2x = 3
x+y=2 | 2x+2y=4
3x-y+13=0 | y = 3x+13
x^2+y^2=4 | y^2 + x^2 - 4 = 0
x<y | y>x
x+y\le4 | y \le 4-x
\text{Evelyn} | Evelyn
\text{Evelyn} | \textbf{Evelyn}
\text{Evelyn} | evelyn
\text{east} | East
\text{even} | \text{Even}
\text{No} | no
\text{(B)} | B
\text{B} | (B)
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix} 1.0 \\ 2 \end{pmatrix}
1:2:3 | 2:4:6
1:2 | 2:4
3:4 | \frac34
f(x)=x+1 | x+1
f(x) = x+1 | f(x)=1+x
x \in \{1,2\} | \{1,2\}
2+3i | 3i+2
\frac{1}{i} | -i
e^{i\pi} | -1
n! | n!
120 | 5!
10 | \binom{5}{2}
|x| | \sqrt{x^2}
x^2-1 | (x-1)(x+1)
\frac{x^2-1}{x-1} | x+1
12 \text{ p.m.} | 12 pm
5 \text{ am} | 5
3:30 | 3:30 \text{ p.m.}
100,200,300 | 100, 200, 300
1, 2, \ldots, n | 1,2,...,n
1, 2, \ldots, n | 1, 2, \dots, n
-3 | \text{negative } 3
-3 | minus 3
\log_2 3 | \log_{2}{3}
x' | x^{\prime}
(2, 3] | 2 < t \leq 3
\frac{\pi}{3} | \frac{π}{3}
\frac{\pi}{3} | π/3
\pi/3 \text{ radians} | \frac{\pi}{3}
42 | \boxed{42}
42 | \text{\textbf{42}}
42 | 42 \quad
42 | \;42\;
42 | \displaystyle 42
42 | "42"
42 | “42”
42 | \ 42\ \quad
42 | **Answer: 42**
42 | \text{Answer: }\mathbf{42}
42 | \mathrm{42}
42 | 42~\mathrm{kg}
42 | 42\hspace{2pt}\text{kg}
42 | \phantom{0}42
36 | 36 \text{ cm}^2
36 | 36\text{ sq. cm}
36 | 36\text{ square centimeters}
36 | 36 \text{ in}^2
36 | 36 in^2
36 | 36\,\text{m}^{3}
36 | 36 \mathrm{~cm}
36 | 36 \mathrm{~cm}^{2}
36 | 36~\text{miles per hour}
36 | 36 \frac{\text{mi}}{\text{hr}}
36 | 36 \frac{m}{s}
36 | 36 \text{ miles}/\text{hour}
36 | 36 ft
36 | 36 feet
36 | 36 \text{ ft}.
36 | 36 km
36 | 36 mph
36 | 36 \text{ kg} \cdot \text{m}/\text{s}^2
36 | 36 \Omega
36 | 36 \ \Omega
36 | 36\mu m
36 | 36 \mu\text{m}
36 | 36 \text{Å}
36 | 36 years
36 | 36 \text{ ways}
36 | 36 \text{ possible ways}
36 | 36 \text{ (square units)}
36 | 36 \text{ units}^2
36 | 36 units²
36 | 36 \text{ cents}
36 | 36¢
36 | 36 \text{ minutes}
36 | 36 min
36 | 36 s
36 | 36s
36 | 36 \text{s}
36 | 36 \mathrm{s}
36 | 36\text{L}
36 | 36 L
36 | 36 \text{ mL}
36 | 36 J
36 | 36 \text{ J}
36 | 36 N
36 | 36 \text{ V}
36 | 36 Hz
36 | 36 \text{ eV}
36 | 36 \text{ mol}
36 | 36 rad
36 | 36 \text{ rad}
36 | Rs. 36
36 | \text{Rs. } 36
36 | USD 36
36 | ₹36
36 | \#36
36 | \text{No. } 36
36 | 36 people
36 | 36 \text{ red marbles}
36 | 36 red marbles
36 | 36 \text{ different sandwiches}
36 | exactly 36
36 | \text{exactly } 36
36 | \text{a total of } 36
36 | a total of 36
36 | \text{There are } 36 \text{ ways}
36 | There are 36 ways
36 | \text{Thus, the answer is } 36
36 | \text{So } x = 36
36 | x \text{ is } 36
36 | The value of x is 36
36 | \text{Maximum: } 36
36 | \text{Maximum value} = 36
36 | \text{The least value is } 36
36 | f(3) = 36
36 | P(A) = 36
36 | S_{10} = 36
36 | |AB| = 36
36 | AB = 36
36 | \angle ABC = 36^\circ
36 | \angle ABC = 36°
36 | m\angle ABC = 36^{\circ}
36 | \boxed{\text{36}}
36 | \mathsf{36}
36 | \mathtt{36}
36 | \bm{36}
36 | \pmb{36}
36 | \emph{36}
36 | \textsf{36}
36 | \texttt{36}
36 | \textnormal{36}
36 | \textup{36}
36 | \fcolorbox{red}{white}{36}
36 | \colorbox{yellow}{36}
36 | \colorbox{yellow}{$36$}
36 | \textcolor{blue}{\textbf{36}}
36 | \textcolor[rgb]{1,0,0}{36}
36 | {\color{red}{36}}
36 | \bbox[yellow]{36}
36 | \boxed{\color{red}36}
36 | \huge{36}
36 | {\large 36}
36 | \scriptsize 36
36 | \left(36\right)
36 | (36)
36 | [36]
36 | \left\{36\right\}
36 | \{36\}
36 | \left. 36 \right.
36 | ~36~
36 | \space 36
36 | 36\,
36 | 36\!
36 | 36 \\
36 | 36 \newline
36 | \large\boxed{36}
36 | <b>36</b>
36 | <strong>36</strong>
36 | _36_
36 | ~~36~~
36 | ３６
36 | 𝟑𝟔
36 | 𝟹𝟼
36 | ３６．
36 | （36）
36 | 36。
36 | 答案：36
36 | 36个
36 | 36 元
36 | 36 см
36 | 36^{th}
36 | 36^{\text{th}}\text{ day}
36 | 36-th
36 | 36^{\textrm{th}}
36 | 36^{\rm th}
36 | 36^\mathrm{th}
36 | 36 \text{th}
36 | 36th grade
36 | \text{36th}
36 | the 36th
36 | 36ᵗʰ
2 | 2ⁿᵈ
2 | 2^{nd}
1 | 1^{st}
1 | 1^\text{st} \text{ place}
25\% | 25 \%
25\% | 25~\%
25\% | 25\text{%}
25\% | 25 \text{ percent}
25\% | 25\textrm{ percent}
25\% | 25 \text{ pct}
25\% | \text{25 percent}
25\% | \text{25\%}
25\% | 25％
25\% | \frac{1}{4}
25\% | 0.25
25\% | \frac{25}{100}
33\frac{1}{3}\% | \frac{100}{3}\%
33\frac{1}{3} | 33 \frac{1}{3}\%
120^\circ | 120
120^\circ | 120 \text{ degrees}
120^\circ | 120^o
120^\circ | 120^{o}
120^\circ | 120 ^\circ
120^\circ | 120\,^{\circ}
120^\circ | 120{}^{\circ}
120^\circ | 120{^\circ}
120^\circ | 120\text{°}
120^\circ | 120 deg
120^\circ | 120\textdegree
120^\circ | 120 \degree
120^\circ | 120˚
120^\circ | 120 °
\sin 30^\circ | \frac{1}{2}
\sin 30^\circ | \sin(30^\circ)
\tan 45^\circ | 1
2\cos 20^\circ | 2 \cos(20°)
-\sqrt{3} | −√3
\frac{1+\sqrt{5}}{2} | (1+√5)/2
\frac{1+\sqrt{5}}{2} | \frac{√5 + 1}{2}
\frac{1+\sqrt{5}}{2} | 0.5(1+√5)
2\sqrt[3]{5} | 2∛5
2^{10} | 2¹⁰
10^{-3} | 10⁻³
a^2+b^2=c^2 | a²+b²=c²
x_{1}+x_{2} | x₁+x₂
\log_2 8 | log₂ 8
\log_{2}8 | log_2(8)
\pi r^2 | πr²
\frac{4}{3}\pi r^3 | 4/3 π r³
\alpha+\beta | α+β
\infty | infinity
\infty | \text{infinity}
x \ge 2 | x⩾2
x \ne 2 | x≠2
A \cup B | A∪B
x\in\mathbb{R} | x∈ℝ
\{1,2\} | ｛1，2｝
(1,2) | （1，2）
\{x \mid x > 2\} | (2,\infty)
\{x : x > 2\} | x > 2
x>2 \text{ and } x<5 | (2,5)
2<x<5 | x>2, x<5
(2,5) | ]2,5[
(-\infty,2]\cup[3,\infty) | x\le2\text{ or }x\ge3
(-\infty,2]\cup[3,\infty) | x \leq 2 or x \geq 3
(-\infty,2]\cup[3,\infty) | (-∞, 2] ∪ [3, ∞)
(-\infty,2]\cup[3,\infty) | x \in (-\infty,2] \cup [3,+\infty)
(-\infty,2)\cup(2,\infty) | x\ne2
(-\infty,2)\cup(2,3)\cup(3,\infty) | x \ne 2, 3
[0,\pi] | 0 \le \theta \le \pi
(0,\frac{\pi}{2}) | 0<x<\frac{\pi}{2}
(\pi, 2\pi) | \pi < x < 2\pi
(\pi,\infty) | x > \pi
[-2,7] | -2\le x\le7
[-2,7] | -2 \leqslant x \leqslant 7
[-2,7] | 7 \geq x \geq -2
[-2,7] | \{x \mid -2 \le x \le 7\}
[-2,7] | -2 ≤ x ≤ 7
[-2,7] | \left[-2, 7\right]
[-2,7] | x \in \left[-2, 7\right]
(a,b) | a < x < b
(3,3) | 3, 3
(0,0,0) | 0,0,0
(0,0) | x=0, y=0
(0,0) | x = 0 \text{ and } y = 0
(2,-1) | x=2,\ y=-1
(2,-1) | \begin{cases} x = 2 \\ y = -1 \end{cases}
2,-1 | \begin{aligned} x &= 2 \\ y &= -1 \end{aligned}
1,-2 | -2 \text{ and } 1
1,-2 | x=1 \text{ and } x=-2
1,-2 | x_1 = 1, x_2 = -2
1,-2 | x = 1, -2
1,-2 | \{-2; 1\}
\frac{1}{3} | 0.\overline{3}
\frac{1}{3} | 0.\bar{3}
\frac{1}{3} | 0.333\dots
\frac{1}{3} | 0.3333...
\frac{1}{3} | 0.\dot{3}
\frac{1}{3} | .\overline{3}
\frac{41}{333} | 0.\overline{123}
\frac{7}{12} | 0.58\overline{3}
\frac{7}{12} | 0.58333...
-\frac{1}{3} | -0.\overline{3}
-\frac{4}{3} | -1.\overline{3}
33.\overline{3}\% | \frac{100}{3}\%
\tanh x | \frac{e^{2x}-1}{e^{2x}+1}
\frac{e^x-e^{-x}}{2} | \sinh x
\cosh^2 x - \sinh^2 x | 1
\coth(x) | \frac{\cosh x}{\sinh x}
\arctan x | \tan^{-1} x
\sec x | \frac{1}{\cos x}
\ln(ab) | \ln a + \ln b
\frac{1}{2}mv^2 | \frac{mv^2}{2}
\frac{3}{5}h | \frac{3h}{5}
\frac{3}{5}h | 0.6h
2\pi\sqrt{\frac{l}{g}} | 2\pi\sqrt{\frac{1}{g}l}
\frac{5}{2}t | \frac{5t}{2}
\frac{5}{2}A | \frac{5A}{2}
\frac{m}{2} | 0.5m
12d | d \cdot 12
20,000\pi | 20000\pi
1,000,000x | 10^6 x
x + 1,000 | x + 1000
\frac{1,000}{3} | \frac{1000}{3}
\sqrt{1,000} | 10\sqrt{10}
1,234.56 | 1234.56
\$1,000 | 1000
\$1{,}000{,}000 | 1000000
12\,345 | 12345
12{\,}345 | 12345
12 345 678 | 12345678
12 345 | 12345
12’345 | 12345
10,00,000 | 1000000
2.5 \text{ million} | 2,500,000
3 billion | 3 \times 10^9
\frac{1}{2} \text{ million} | 500000
5 hundred | 500
3\frac{1}{2} \text{ hours} | 3.5
1\frac12 | \frac32
1 \frac{1}{2} | 1.5
1 + \frac12 | \frac32
-2\frac{1}{3} | -\frac{7}{3}
5:3 | \frac{5}{3}
5:3 | 5 : 3
5:3 | 10:6
1011_2 | 1011_{2}
1011_2 | (1011)_2
1011_2 | 1011_{(2)}
1011_2 | 1011_{\text{two}}
1011_2 | 1011 \text{ base } 2
1011_2 | 1011 \text{ in base } 2
1011_2 | 1011₂
AB_{16} | AB_{16}
3 \pmod{7} | 3
3 \pmod{7} | 3 \bmod 7
3 \pmod{7} | x \equiv 3 \pmod 7
3 \pmod{7} | 3 \text{ (mod } 7)
\text{Tuesday} | Tuesday
\text{Tuesday} | \textit{Tuesday}
\text{Tuesday} | **Tuesday**
\text{Tuesday} | TUESDAY
\text{Tuesday} | \text{Tuesday}.
\text{yes} | Yes
\text{True} | true
\text{ellipse} | \text{an ellipse}
\text{ellipse} | ellipse
\text{6:00 PM} | 6:00 p.m.
y=\frac{1}{2}x+3 | y = 0.5x + 3
y=\frac{1}{2}x+3 | 2y = x + 6
x^2+y^2=25 | 25 = x^2 + y^2
x-2y+3=0 | 2y = x+3
\frac{x^2}{4}+\frac{y^2}{9}=1 | 9x^2+4y^2=36
y^2=4x | 4x=y^2
f(x)=2x+1 | f(x) = 1+2x
f^{-1}(x)=x-1 | x-1
a_n=2n-1 | 2n-1
a_n = 2n - 1 | a_{n} = -1+2n
i | \sqrt{-1}
-1 | i^2
1+2i | 2i + 1
1+2i | 1+2\mathrm{i}
e^2 | \mathrm{e}^2
e^2 | \exp(2)
e | \mathrm{e}
\frac{dy}{dx}=2x | \frac{\mathrm{d}y}{\mathrm{d}x}=2x
3.0\times10^8 | 3\times10^{8}
3\times10^8 | 300,000,000
3\times10^8 | 3e8
3\times10^8 | 3 x 10^8
3\times10^{8} | 3.0 \cdot 10^{8} \text{ m/s}
10^{-6} | 0.000001
10^{-6} | \frac{1}{1000000}
10^{-6} | 1e-6
3.83e35 | 3.83\times10^{35}
1.325e-27 | 1.325 \times 10^{-27}
\frac{1}{128} | 0.0078125
\frac{1}{1024} | 2^{-10}
1, 3, 5, \ldots | 1, 3, 5, ...
1, 3, 5, \ldots | 1,3,5,\cdots
\begin{pmatrix} 1 \\ 2 \end{pmatrix} | \begin{bmatrix}1\\2\end{bmatrix}
\begin{pmatrix} 1 \\ 2 \end{pmatrix} | \left(\begin{array}{c} 1 \\ 2 \end{array}\right)
\begin{pmatrix} \frac12 & 0 \\ 0 & 1 \end{pmatrix} | \begin{pmatrix} 0.5 & 0 \\ 0 & 1 \end{pmatrix}
5 | $5\ $
5 | 5\;\checkmark
5 | 5 ✓
-3 | {-}3
5 | 5=x
(1,2) | y=2, x=1
3\text{ hours} | 180 \text{ min}
"""

OTHER = r"""
\frac{1}{2^{99}} | \frac{1}{2^{98}}
\frac{1}{10^{9}} | \frac{1}{10^{10}}
10^{-7} | 10^{-8}
2\times10^{-9} | 3\times10^{-9}
0.0000001 | 0.0000004
0.0000001 | 0
0 | 10^{-9}
0 | 0.0000001
e^{-20} | e^{-21}
\frac{\sqrt2}{10^8} | \frac{\sqrt3}{10^8}
1e-8 | 1e-9
(10^{-7},1) | (10^{-8},1)
10^{-7}x | 10^{-8}x
\frac{1}{7000} | 0.000143
\frac{1}{1000000} | \frac{1}{1000001}
\frac{1}{3} | \frac{333333}{1000000}
\frac{1}{3} | 0.33
\frac13 | 0.3333
\pi | 3.14
\pi | \frac{22}{7}
\sqrt2 | 1.414
2516_8 | 2516_{10}
2516_8 | 2516_9
101_2 | 101_3
101_2 | 110_2
4 | four
2516_8 | 2517_8
2516_8 | 2516_{\text{ten}}
42 | 42 \text{ million}
42 | 42 million
42 | 42 \text{ thousand}
42 | 42 \text{ hundred}
42 | 42 \text{ billion}
42 | 42 \text{ dozen}
42 | \neq 42
42 | ≠ 42
42 | \ne 42
42 | > 42
42 | < 42
42 | \le 42
42 | \geq 42
42 | x \ne 42
42 | x > 42
42 | \text{not } 42
42 | not 42
42 | \text{not equal to } 42
42 | \text{at least } 42
42 | \text{less than } 42
42 | \text{more than } 42
42 | 42 \text{ or more}
42 | 42 \text{ squared}
42 | -42
42 | \pm 42
42 | ±42
42 | \text{negative } 42
42 | minus 42
42 | 42!
42 | 42i
42 | 42x
42 | 42\%x
42 | \frac{1}{42}
42 | \sqrt{42}
42 | √42
42 | 42^2
42 | 42²
42 | 42^{-1}
42 | 4 2
42 | 4, 2
42 | 42, 43
42 | x + 42
42 | x² + 42
42 | 42\pi
42 | 42π
42 | 42 + C
42 | \log 42
42 | 42k
42 | \text{half of } 42
42 | \text{twice } 42
42 | 42 \text{ and a half}
42 | 42 \text{ or } 43
42 | 0.42
42 | 42\frac12
42 | 42½
42 | 42 1/2
42 | \text{none of } 42
8 | 4√2 + 8
3 | x² + 3
5 | 2√5
4 | (2, 4)
4 | \{2,4\}
1, 2, \ldots, n | 1, 3, 5, \ldots, 2n-1
1, 2, \ldots, 10 | 2, 4, \ldots, 10
1,2,3 | 1,2
1,2 | 1,2,3
1,2 | 1,3
(1,2) | (2,1)
(1,2) | [1,2]
[1,2) | (1,2]
(1,2,3) | (1,3,2)
-2,-2 | (-2,2)
(-2,-2) | -2
x=1,y=2 | x=2,y=1
(3,4] | 3 < x < 4
(3,4] | 3 \le x \le 4
x\le3 | x<3
x\le3 | x\ge3
(3,\infty) | [3,\infty)
x=5 | y=5
y=2x+3 | y=2x+4
3x-y+13=0 | 3x+4y+14=0
x+y=2 | x-y=0
x^2+y^2=4 | x^2+y^2=2
\frac{37}{4}m | \frac{37}{4m}
7x | 7
7c | 7
3n | 3
5x | 5y
x^2 | x_2
x^2 | 2x
x_1 | x_2
x' | x
2x | 2x'
10\% | 0.01
10\% | 100\%
0.5\% | 0.5
25\% | 0.25\%
5 \text{ cm} | 5 \text{ m}
5 \text{ m} | 5 \text{ km}
5 \text{ hours} | 5 \text{ minutes}
5 \text{ kg} | 5 \text{ m}
5 \text{ cents} | 5 \text{ dollars}
1000 | 1.000
1,234 | 1.234
1234 | 1, 234
12 | 1 2
1000 | 1 00
20000\pi | 20,00\pi
15.\overline{3} | 15.3
\frac{46}{3} | 15.3
0.1\overline{6} | 0.\overline{16}
\text{Evelyn} | \text{Bob}
\text{east} | \text{west}
\text{listen} | \text{silent}
\text{yes} | \text{no}
B | C
A | B
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}2\\1\end{pmatrix}
\begin{pmatrix}10^{-8}\\2\end{pmatrix} | \begin{pmatrix}10^{-9}\\2\end{pmatrix}
1:2:3 | 1:3:2
\sinh x | \cosh x
\sin x | \sin 2x
\sqrt{x^2} | x
2+3i | 2-3i
\ln 2 | \log_2 e
\{1,2\} | \{1,2,3\}
(-\infty,1)\cup(2,\infty) | (-\infty,1)\cup(3,\infty)
\mathbb{R} | \mathbb{Z}
\infty | -\infty
3 | 3 \text{ ft } 6 \text{ in}
36 | 3 \text{ ft } 6 \text{ in}
[1,+\infty) | (1,\infty)
f(x)=x,f(x)=-x | f(x)=x
x \text{ for } x>0 | x \text{ for } x<0
0.1 | 0.10001
1000000 | 1000001
10000000 | 10000001
123456789 | 123456788
\frac{2016}{2017^2} | \frac{1}{2018}
x^{12} | x^1 2
90^\circ | 90 \text{ radians}
12 \text{ am} | 12 \text{ pm}
10^{-6} | 10^{-7}
10^{-6} | 0.0000011
\frac{1}{10^6} | 0
0.000001 | 0.000002
\frac{1}{3^{20}} | \frac{1}{3^{21}}
3^{-20} | 3^{-19}
\frac{1}{20!} | \frac{1}{21!}
2^{-50} | -2^{-50}
1.6\times10^{-19} | 1.6\times10^{-20}
1.6\times10^{-19} | 9.1\times10^{-31}
\frac{1}{2^{100}}+1 | 1
1 | 1+10^{-9}
\frac{\pi}{10^9} | \frac{\pi}{10^8}
e^{-30} | 0
\{10^{-8}\} | \{10^{-9}\}
10^{-8}, 1 | 10^{-9}, 1
x=10^{-8} | x=10^{-9}
x<10^{-8} | x<10^{-9}
[0,10^{-8}] | [0,10^{-9}]
y=10^{-8}x | y=10^{-9}x
x^2=10^{-8} | x^2=10^{-9}
0.00001 | 0.000011
1011_2 | 1011_3
1011_2 | 1011_{10}
1011_2 | 11_{10}
123_4 | 123_5
123_{\text{four}} | 123_{\text{five}}
AB_{16} | AB_{12}
36 | 36 \text{ million}
36 | 36 \text{ billion}
36 | 36 \text{ trillion}
36 | 36 thousand
36 | 36 hundred
36 | 36k
36 | 36 \times 10^3
36 | 36 \text{ dozen}
36 | \text{not equal to } 36
36 | x \neq 36
36 | \lnot 36
36 | \neg 36
36 | \not= 36
36 | != 36
36 | \text{isn't } 36
36 | \text{never } 36
36 | \ge 36
36 | ≥ 36
36 | \leq 36
36 | >36
36 | 36+
36 | 36 or more
36 | 36 \text{ or fewer}
36 | \text{up to } 36
36 | \text{at most } 36
36 | \text{more than } 36
36 | \text{fewer than } 36
36 | \text{between } 36 \text{ and } 40
36 | 36 - 40
36 | 36-40
36 | 36 \text{ to } 40
36 | \text{minus } 36
36 | - 36
36 | −36
36 | ∓36
36 | \sqrt{36}
36 | 36 \sqrt{2}
36 | 36√2
36 | √36
36 | 36 + √2
36 | ³√36
36 | 36³
36 | 36⁻¹
36 | 36₂ 7
36 | 36°x
36 | x = 36 + y
36 | 36 + x
36 | 36 - 0.5
36 | 36/7
36 | \frac{36}{7}
36 | 36\frac{1}{7}
36 | 36 : 7
36 | 0.36
36 | 3.6
36 | 3 6
36 | 3,6
36 | 36, 37
36 | \{36, 37\}
36 | 36 \text{ or } 37
36 | 36 or 37
36 | (36, 0)
36 | 36i
36 | 36e
36 | 36a
36 | 36 \text{ squared}
36 | 36 \text{ factorial}
36 | 36!
36 | 36' 7
36 | |36 - 40|
36 | \lfloor 36.5 \rfloor + 1
36 | \text{half of } 36
36 | \text{double } 36
36 | \text{one less than } 36
36 | 36 \text{ is not correct}
36 | \text{No solution}
36 | \emptyset
36 | \infty
36 | ?36 7
8 | 4√2+8
8 | 8 + 4\sqrt{2
3 | x³ + 3
3 | y = x² + 3
3 | x ≡ 3 (mod 5) + 1
7 | \alpha + 7
7 | ∑ 7
7 | ∫ 7 dx
7 | 2 ⊕ 7
7 | a ∘ 7
7 | foo 7 bar 8
12 | 12^{2}
12 | 12^{th} - 1
(3,4] | 3<x<4
(3,4] | [3,4)
(3,4] | 3 \le x < 4
(3,4] | x > 3
(3,4] | 3 < x
(-2,-2) | (-2,2)
-2,-2 | (-2,-2,-2)
(1,1) | (1,2)
\frac{37}{4}m | \frac{37}{4}
\frac{37}{4}m | \frac{37}{4}n
\frac{37}{4}m | \frac{37}{4}m^2
\frac{1}{2}g | \frac{1}{2g}
\frac{1}{2}g | \frac{1}{2}h
2m | 2n
2m | m^2
\frac{20000}{\pi} | \frac{20,00}{\pi}
\frac{20000}{\pi} | \frac{2000}{\pi}
20000\pi | 20\pi
20000\pi | 20,000
1,2 | 12
1,200 | 1.2
1,200 | 1,20
200,300 | 200
30 | 30\%x
27 | 27 cm² + 1
\sqrt{2} | √3
\sqrt{2} | √2 + 1
\sqrt{2} | ∛2
\frac{46}{3} | 15.\overline{4}
\frac{46}{3} | 15.3\overline{4}
\frac{1}{3} | 0.\overline{33}4
\frac{1}{3} | 0.3
\frac{1}{9} | 0.\overline{9}
\frac{\sinh(at)}{a} | \frac{\cosh(at)}{a}
\frac{\sinh(at)}{a} | \frac{\sin(at)}{a}
\sinh x | \sin x
1, 2, \ldots, n | 1, 2, \ldots, m
1, 2, \ldots, n | n
1, 2, \ldots, n | 2, 3, \ldots, n
1+2+\ldots+n | 1+3+\ldots+n
1, 4, 9, \ldots, n^2 | 1, 2, 3, \ldots, n^2
1, 3, 5, \ldots | 1, 3, 5
1, 3, 5, \ldots | 5
3x-y+13=0 | 3x-y-13=0
3x-y+13=0 | 3x+y+13=0
y=2x | y=3x
y=x^2 | y=x^3
x+y=1 | x-y=1
x>1 | y>1
x^2+y^2=1 | x^2-y^2=1
\text{Tuesday} | \text{Thursday}
\text{even} | \text{odd}
\text{east} | \text{seat}
\text{Yes} | \text{No}
\text{true} | \text{false}
5 \text{ meters} | 5 \text{ feet}
5 \text{ m} | 5 \text{ mm}
5 \text{ ft} | 5 \text{ in}
60 \text{ mph} | 60 \text{ km/h}
5 \text{ m}^2 | 5 \text{ cm}^2
5 \text{ days} | 5 \text{ weeks}
5^\circ | 5 \text{ radians}
50\% | 5
50\% | 5\%
0.5 | 50
1.5 | 150
[2,5] | (2,5)
x<2 | x\le2
x\ge2 | x\le2
x\ne2 | x=2
\mathbb{N} | \mathbb{Z}
A \cup B | A \cap B
a < b | b < a
\{1,2\} | \{1\}
\{1,2\} | \{1,2,2,3\}
1:2 | 2:1
3.14 | \pi
2.718 | e
1.41421 | \sqrt{2}
0.67 | \frac{2}{3}
f(x)=2x+1 | f(x)=2x
x=1,y=2 | x=1,y=3
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1\\3\end{pmatrix}
i | -i
1+2i | 1-2i
3:00 | 15:00
\frac{1}{0} | \frac{2}{0}
(1,2) | y=1, x=2
5 | 6=x
"""


def pairs(table: str) -> list[tuple[str, str]]:
    """The rows of a table."""
    found = [line.partition(" | ") for line in table.strip().splitlines()]
    return [(gold, answer) for gold, _, answer in found]


@pytest.mark.parametrize(("gold", "answer"), pairs(SAME))
def test_the_same_answer_in_both_orders(gold: str, answer: str) -> None:
    assert equivalent(gold, answer) is True
    assert equivalent(answer, gold) is True


@pytest.mark.parametrize(("gold", "answer"), pairs(OTHER))
def test_another_answer_in_both_orders(gold: str, answer: str) -> None:
    assert not equivalent(gold, answer)
    assert not equivalent(answer, gold)


# ------------------------------------------------------------------------------ made looks

VALUES = ["7", "-7", "0.5", r"\frac{3}{4}", r"2\sqrt{3}", r"\pi", "x^2+1", "(1,2)", "[1,2)", r"\{1,2\}", "3,5", "y=2x"]
WRAPPED = ["{}", "${}$", r"\({}\)", r"\boxed{{{}}}", r"\mathbf{{{}}}", r"\boldsymbol{{{}}}", "**{}**", "{}."]
WRAPPED += [
    r"\textcolor{{red}}{{{}}}",
    r"\color{{red}} {}",
    r"\Large {}",
    r"\displaystyle {}",
    r"{} \quad",
    r"\text{{The answer is }} {}",
]
WRAPPED += ["The answer is {}", "Answer: {}", r"\; {} \;", r"{{{}}}", r"\therefore {}", "= {}", r"\underline{{{}}}"]


@pytest.mark.parametrize("value", VALUES)
def test_any_two_looks_of_a_value_are_the_same_and_no_other_value_is(value: str) -> None:
    looks = [wrapper.format(value) for wrapper in WRAPPED]
    choose = random.Random(value)
    for look in looks:
        assert equivalent(value, look), look
        assert equivalent(look, value), look
    for look, other in combinations(choose.sample(looks, 8), 2):
        assert equivalent(look, other), (look, other)
    for other in VALUES:
        if other != value:
            assert not equivalent(value, choose.choice(WRAPPED).format(other)), other


def test_numbers_in_many_looks_equal_themselves_only() -> None:
    choose = random.Random(0)
    looks = [
        "{}",
        "{:,}",
        "{}.0",
        r"{}\text{{ cm}}",
        "{} apples",
        r"x = {}",
        r"{}^\circ",
        "\\$ {}",
        r"\text{{Area}} = {}",
    ]
    for _ in range(300):
        one, other = choose.randint(-10_000, 10_000), choose.randint(-10_000, 10_000)
        first, second = choose.choice(looks).format(one), choose.choice(looks[:3]).format(other)
        assert bool(equivalent(first, second)) is bool(equivalent(second, first)) is (one == other), (first, second)
        assert equivalent(first, choose.choice(looks[:3]).format(one)), first


# ------------------------------------------------------------------------------ boxes

BOXES = [
    # gold, text, answer, whether it is right
    ("42", r"The answer is \boxed{42}. Recall the rule: put the result in \boxed{}.", "42", True),
    ("42", r"The final answer is \boxed 42.", "42", True),
    ("1,2", r"The solutions are \boxed{1} and \boxed{2}.", "1, 2", True),
    ("2,1", r"The solutions are \boxed{1} and \boxed{2}.", "1, 2", True),
    ("1,2,3", r"\boxed{1}, \boxed{2}, and \boxed{3}", "1, 2, 3", True),
    ("(1,2)", r"$x = \boxed{1}$ and $y = \boxed{2}$", "1, 2", True),
    ("(1,2)", r"$x = \boxed{2}$ and $y = \boxed{1}$", "1", False),
    ("1,2", r"\boxed{3}? No. So \boxed{1} and \boxed{2}.", "1, 2", True),
    ("1,2", r"\boxed{1} and \boxed{3}", "3", False),
    ("1,2", r"\boxed{2}", "2", False),
    ("1,2", r"\boxed{1, 2}", "1, 2", True),
    ("1,2", r"\boxed{1} is one. Both: \boxed{1, 2}", "1, 2", True),
    # One value: the last box is the answer.
    ("1", r"\boxed{1} and \boxed{2}", "2", False),
    ("2", r"\boxed{1}? No, \boxed{2}.", "2", True),
    ("2", "no box", None, False),
    ("2", r"\boxed{}", None, False),
    ("5", r"\boxed{5\ }", "5\\", True),
]


@pytest.mark.parametrize(("gold", "text", "answer", "right"), BOXES)
def test_boxes(gold: str, text: str, answer: str | None, right: bool) -> None:
    assert strict_answer(gold, text) == (answer, right)


# ------------------------------------------------------------------------------ hostile answers

HOSTILE = {
    "nested braces": "{" * 30_000 + "4" + "}" * 30_000,
    "open braces": "{" * 30_000,
    "nested brackets": "(" * 900 + "4" + ")" * 900,
    "open brackets": "[(" * 900,
    "nested sets": r"\{" * 400 + "4" + r"\}" * 400,
    "nested texts": r"\text{" * 300 + "4" + "}" * 300,
    "a million digits": "9" * 200_000,
    "a long number": "9" * 1_900,
    "many words": "word " * 380,
    "many numbers": "1, " * 660 + "1",
    "many equations": ", ".join(f"x={number}" for number in range(300)),
    "many signs": "=" * 1_900,
    "many inequalities": "<".join(["x"] * 900),
    "many units": "4 " + r"\text{cm}^2" * 170,
    "many percent signs": "4" + "%" * 1_900,
    "many plus-minus signs": r"\pm 1," * 300,
    "many dots": r"0.333\ldots" * 170,
    "many primes": "x" + "'" * 1_900,
    "many roots": "\u221a" * 1_900 + "4",
    "many separators": "1" + ",000" * 470,
    "many blanks": "4" + " " * 200_000,
    "many ordinals": "4th" * 600,
    "many bases": "4_8" * 600,
    "many unions": r"(1,2)\cup" * 200 + "(1,2)",
    "deep scripts": "x^{" * 600 + "2" + "}" * 600,
    "a megabyte of LaTeX": r"\frac{1}{2} \text{ and } " * 8_000,
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_answer_takes_a_bounded_time(answer: str) -> None:
    start = time.process_time()
    assert not equivalent(r"x^2, 2 \text{ cm}", answer)
    assert not equivalent("17", answer)
    assert time.process_time() - start < 20
