"""The kinds of word problem, as data. One-letter names are numbers of the question, longer names are results."""

from deepseek_math.training.word_kinds import Row, kind

ROWS = (
    Row(
        "left",
        {"a": (20, 400), "b": (5, 300)},
        {
            "en": (
                "{name} has {a} {things} and gives {b} of them to {other}. How many {things} are left?",
                "There are {a} {things} in a box. {name} takes {b}. How many remain?",
            ),
            "zh": (
                "{name}有{a}个{things}，送给{other}{b}个，还剩多少个？",
                "盒子里有{a}个{things}，拿走{b}个，还有几个？",
            ),
        },
        (("Left", "剩下", "left", "a-b"),),
        lambda a, b: a > b,
    ),
    Row(
        "together",
        {"a": (5, 400), "b": (5, 400)},
        {
            "en": (
                "{name} has {a} {things} and {other} has {b}. How many {things} do they have together?",
                "{name} finds {a} {things} on Monday and {b} on Tuesday. How many {things} is that in all?",
            ),
            "zh": (
                "{name}有{a}个{things}，{other}有{b}个，两人一共有多少个？",
                "上午卖出{a}个{things}，下午卖出{b}个，一共卖出多少个？",
            ),
        },
        (("Together", "一共", "total", "a+b"),),
    ),
    Row(
        "cost",
        {"n": (2, 12), "p": (2, 90)},
        {
            "en": (
                "{name} buys {n} {things} at {p} dollars each. How much does {name} pay?",
                "One ticket costs {p} dollars. How much do {n} tickets cost?",
            ),
            "zh": ("{name}买了{n}个{things}，每个{p}元，一共要付多少元？", "一张票{p}元，买{n}张票要多少元？"),
        },
        (("Cost", "总价", "cost", "n*p"),),
    ),
    Row(
        "change",
        {"n": (2, 9), "p": (2, 20), "m": (1, 10), "g": lambda n, p, m: m * 20},
        {
            "en": (
                "{name} buys {n} {things} at {p} dollars each and pays with {g} dollars. How much change is due?",
                "A pen costs {p} dollars. {name} buys {n} pens and hands over {g} dollars. What is the change?",
            ),
            "zh": (
                "{name}买{n}个{things}，每个{p}元，付了{g}元，应找回多少元？",
                "一支笔{p}元，买{n}支，付{g}元，找回多少元？",
            ),
        },
        (("Cost", "总价", "cost", "n*p"), ("Change", "找回", "change", "g-cost")),
        lambda n, p, m, g: g > n * p,
    ),
    Row(
        "share",
        {"n": (2, 12), "k": (2, 60), "t": lambda n, k: n * k},
        {
            "en": (
                "{t} {things} are shared equally among {n} children. How many does each child get?",
                "{name} packs {t} {things} into {n} equal boxes. How many are in each box?",
            ),
            "zh": (
                "把{t}个{things}平均分给{n}个小朋友，每人分到几个？",
                "{t}个{things}平均装进{n}个盒子，每个盒子装几个？",
            ),
        },
        (("Each", "每份", "each", "t//n"),),
    ),
    Row(
        "groups",
        {"k": (2, 12), "n": (2, 50), "t": lambda k, n: n * k},
        {
            "en": (
                "A bag holds {k} {things}. How many bags are needed for {t} {things}?",
                "{t} students form teams of {k}. How many teams are there?",
            ),
            "zh": ("每袋装{k}个{things}，{t}个{things}要装多少袋？", "{t}名学生每{k}人一组，可以分成几组？"),
        },
        (("Groups", "数量", "groups", "t//k"),),
    ),
    Row(
        "distance",
        {"v": (3, 120), "t": (2, 9)},
        {
            "en": (
                "A car travels at {v} km per hour for {t} hours. How far does it go?",
                "{name} rides {v} km every hour. How many km is that in {t} hours?",
            ),
            "zh": ("一辆汽车每小时行{v}千米，{t}小时行多少千米？", "{name}每小时骑{v}千米，{t}小时骑多少千米？"),
        },
        (("Distance", "路程", "distance", "v*t"),),
    ),
    Row(
        "speed",
        {"v": (3, 99), "t": (2, 9), "d": lambda v, t: v * t},
        {
            "en": (
                "A train covers {d} km in {t} hours. What is its speed in km per hour?",
                "{name} drives {d} km in {t} hours. How many km is that per hour?",
            ),
            "zh": (
                "一列火车{t}小时行驶{d}千米，平均每小时行多少千米？",
                "{name}{t}小时走了{d}千米，速度是每小时多少千米？",
            ),
        },
        (("Speed", "速度", "speed", "d//t"),),
    ),
    Row(
        "time",
        {"v": (3, 12), "t": (2, 60), "d": lambda v, t: v * t},
        {
            "en": (
                "How many hours does it take to walk {d} km at {v} km per hour?",
                "A pump fills {v} liters per minute. How many minutes does it need for {d} liters?",
            ),
            "zh": ("每小时走{v}千米，走{d}千米要几小时？", "水泵每分钟注水{v}升，注满{d}升要几分钟？"),
        },
        (("Time", "时间", "time", "d//v"),),
    ),
    Row(
        "meet",
        {"v": (3, 60), "w": (3, 60), "t": (2, 9)},
        {
            "en": (
                "Two cars start towards each other at {v} and {w} km per hour and meet after {t} hours. "
                "How far apart were they at the start?",
                "{name} and {other} walk in opposite directions at {v} and {w} meters per minute. "
                "How far apart are they after {t} minutes?",
            ),
            "zh": (
                "两车分别以每小时{v}千米和{w}千米相向而行，{t}小时后相遇，原来相距多少千米？",
                "{name}和{other}背向而行，每分钟分别走{v}米和{w}米，{t}分钟后相距多少米？",
            ),
        },
        (("Speed together", "速度和", "speed", "v+w"), ("Distance", "距离", "distance", "speed*t")),
    ),
    Row(
        "rectangle_area",
        {"a": (2, 90), "b": (2, 9)},
        {
            "en": (
                "A rectangle is {a} cm long and {b} cm wide. What is its area?",
                "Find the area of a rectangle with sides {a} and {b}.",
            ),
            "zh": ("长方形长{a}厘米，宽{b}厘米，面积是多少？", "求长为{a}、宽为{b}的长方形的面积。"),
        },
        (("Area", "面积", "area", "a*b"),),
    ),
    Row(
        "rectangle_perimeter",
        {"a": (2, 90), "b": (2, 90)},
        {
            "en": (
                "A rectangle is {a} cm long and {b} cm wide. What is its perimeter?",
                "Find the perimeter of a rectangle with sides {a} and {b}.",
            ),
            "zh": ("长方形长{a}厘米，宽{b}厘米，周长是多少？", "求长为{a}、宽为{b}的长方形的周长。"),
        },
        (("Half of it", "长加宽", "half", "a+b"), ("Perimeter", "周长", "perimeter", "half*2")),
    ),
    Row(
        "triangle_area",
        {"k": (1, 40), "a": lambda k: 2 * k, "h": (2, 9)},
        {
            "en": (
                "A triangle has base {a} cm and height {h} cm. What is its area?",
                "Find the area of a triangle with base {a} and height {h}.",
            ),
            "zh": ("三角形底{a}厘米，高{h}厘米，面积是多少？", "求底为{a}、高为{h}的三角形的面积。"),
        },
        (("Base times height", "底乘高", "both", "a*h"), ("Area", "面积", "area", "both//2")),
    ),
    Row(
        "box_volume",
        {"a": (2, 12), "b": (2, 9), "c": (2, 9)},
        {
            "en": (
                "A box is {a} cm long, {b} cm wide and {c} cm high. What is its volume?",
                "Find the volume of a box with edges {a}, {b} and {c}.",
            ),
            "zh": ("长方体长{a}厘米，宽{b}厘米，高{c}厘米，体积是多少？", "求棱长为{a}、{b}、{c}的长方体的体积。"),
        },
        (("Bottom", "底面积", "bottom", "a*b"), ("Volume", "体积", "volume", "bottom*c")),
    ),
    Row(
        "third_angle",
        {"a": (10, 100), "b": (10, 79)},
        {
            "en": (
                "Two angles of a triangle are {a} and {b} degrees. How large is the third angle?",
                "A triangle has angles of {a} and {b} degrees. Find the third one.",
            ),
            "zh": (
                "三角形的两个角是{a}度和{b}度，第三个角是多少度？",
                "一个三角形两个内角为{a}度和{b}度，求第三个内角。",
            ),
        },
        (("The two", "两角和", "two", "a+b"), ("Third", "第三个角", "third", "180-two")),
        lambda a, b: a + b < 175,
    ),
    Row(
        "average_two",
        {"a": (2, 99), "k": (2, 99), "b": lambda a, k: 2 * k - a},
        {
            "en": (
                "What is the average of {a} and {b}?",
                "{name} scores {a} and {b} points in two games. What is the average?",
            ),
            "zh": ("{a}和{b}的平均数是多少？", "{name}两次得分为{a}和{b}，平均分是多少？"),
        },
        (("Sum", "和", "total", "a+b"), ("Average", "平均数", "average", "total//2")),
        lambda a, k, b: 0 < b < 100 and a != b,
    ),
    Row(
        "average_three",
        {"a": (2, 60), "b": (2, 60), "k": (5, 60), "c": lambda a, b, k: 3 * k - a - b},
        {
            "en": (
                "What is the average of {a}, {b} and {c}?",
                "Three boxes hold {a}, {b} and {c} {things}. How many does a box hold on average?",
            ),
            "zh": ("{a}、{b}和{c}的平均数是多少？", "三个盒子分别有{a}、{b}、{c}个{things}，平均每个盒子有几个？"),
        },
        (
            ("First two", "前两个", "two", "a+b"),
            ("Sum", "和", "total", "two+c"),
            ("Average", "平均数", "average", "total//3"),
        ),
        lambda a, b, k, c: 0 < c < 90,
    ),
    Row(
        "more_than",
        {"a": (5, 300), "b": (2, 99)},
        {
            "en": (
                "{name} has {a} {things}. {other} has {b} more than {name}. How many does {other} have?",
                "A red rope is {a} cm long. A blue rope is {b} cm longer. How long is the blue rope?",
            ),
            "zh": (
                "{name}有{a}个{things}，{other}比{name}多{b}个，{other}有多少个？",
                "红绳长{a}厘米，蓝绳比红绳长{b}厘米，蓝绳长多少厘米？",
            ),
        },
        (("The other", "另一个", "other", "a+b"),),
    ),
    Row(
        "more_than_total",
        {"a": (5, 150), "b": (2, 60)},
        {
            "en": (
                "{name} has {a} {things}. {other} has {b} more than {name}. How many do they have together?",
                "A class has {a} girls and {b} more boys than girls. How many pupils are in the class?",
            ),
            "zh": (
                "{name}有{a}个{things}，{other}比{name}多{b}个，两人一共有多少个？",
                "学校有女生{a}人，男生比女生多{b}人，一共多少人？",
            ),
        },
        (("The other", "另一个", "other", "a+b"), ("Together", "一共", "total", "a+other")),
    ),
    Row(
        "fewer_than_total",
        {"a": (20, 150), "b": (2, 90)},
        {
            "en": (
                "{name} has {a} {things}. {other} has {b} fewer than {name}. How many do they have together?",
                "A shop sells {a} {things} on Monday and {b} fewer on Tuesday. How many is that in two days?",
            ),
            "zh": (
                "{name}有{a}个{things}，{other}比{name}少{b}个，两人一共有多少个？",
                "商店周一卖出{a}个{things}，周二少卖{b}个，两天一共卖出多少个？",
            ),
        },
        (("The other", "另一个", "other", "a-b"), ("Together", "一共", "total", "a+other")),
        lambda a, b: a > b,
    ),
    Row(
        "times_as_many",
        {"a": (3, 90), "k": (2, 9)},
        {
            "en": (
                "{name} has {a} {things}. {other} has {k} times as many. How many does {other} have?",
                "A tree is {a} years old. A second tree is {k} times as old. How old is the second tree?",
            ),
            "zh": (
                "{name}有{a}个{things}，{other}的个数是{name}的{k}倍，{other}有多少个？",
                "一棵树{a}岁，另一棵树的年龄是它的{k}倍，另一棵树多少岁？",
            ),
        },
        (("The other", "另一个", "other", "a*k"),),
    ),
    Row(
        "times_total",
        {"a": (3, 60), "k": (2, 9)},
        {
            "en": (
                "{name} has {a} {things}. {other} has {k} times as many. How many do they have together?",
                "{name} reads {a} pages and {other} reads {k} times as many. How many pages is that in all?",
            ),
            "zh": (
                "{name}有{a}个{things}，{other}的个数是{name}的{k}倍，两人一共有多少个？",
                "{name}看了{a}页书，{other}看的是{name}的{k}倍，一共看了多少页？",
            ),
        },
        (("The other", "另一个", "other", "a*k"), ("Together", "一共", "total", "a+other")),
    ),
    Row(
        "two_prices",
        {"n": (2, 9), "p": (2, 20), "m": (2, 9), "q": (2, 20)},
        {
            "en": (
                "{name} buys {n} pens at {p} dollars each and {m} books at {q} dollars each. What is the total cost?",
                "{n} adults pay {p} dollars each and {m} children pay {q} dollars each. How much is that in all?",
            ),
            "zh": (
                "{name}买{n}支笔，每支{p}元，又买{m}本书，每本{q}元，一共要付多少元？",
                "{n}个大人每人{p}元，{m}个小孩每人{q}元，一共多少元？",
            ),
        },
        (
            ("First", "第一部分", "first", "n*p"),
            ("Second", "第二部分", "second", "m*q"),
            ("Total", "一共", "total", "first+second"),
        ),
    ),
    Row(
        "save_weeks",
        {"p": (2, 12), "n": (3, 60), "g": lambda p, n: n * p},
        {
            "en": (
                "{name} saves {p} dollars a week. After how many weeks has {name} saved {g} dollars?",
                "A phone costs {g} dollars. {name} saves {p} dollars every week. How many weeks does it take?",
            ),
            "zh": ("{name}每周存{p}元，存够{g}元要几周？", "一部手机{g}元，{name}每周存{p}元，要存几周？"),
        },
        (("Weeks", "周数", "weeks", "g//p"),),
    ),
    Row(
        "pages_left",
        {"n": (2, 9), "p": (5, 40), "t": (60, 400)},
        {
            "en": (
                "A book has {t} pages. {name} reads {p} pages a day for {n} days. How many pages are left?",
                "{name} must type {t} lines and types {p} lines an hour. How many lines are left after {n} hours?",
            ),
            "zh": (
                "一本书有{t}页，{name}每天看{p}页，看了{n}天，还剩多少页？",
                "一条路长{t}米，每天修{p}米，修了{n}天，还剩多少米？",
            ),
        },
        (("Done", "已完成", "done", "p*n"), ("Left", "还剩", "left", "t-done")),
        lambda n, p, t: t > p * n,
    ),
    Row(
        "days_needed",
        {"n": (2, 9), "p": (2, 40), "a": (5, 200), "t": lambda n, p, a: a + n * p},
        {
            "en": (
                "A book has {t} pages. {name} has read {a} and now reads {p} a day. How many days does the rest take?",
                "A road of {t} meters is to be built. {a} meters are done and {p} are added a day. "
                "How many days are needed?",
            ),
            "zh": (
                "一本书有{t}页，已经看了{a}页，以后每天看{p}页，还要看几天？",
                "要修一条{t}米的路，已修{a}米，剩下的每天修{p}米，还要几天？",
            ),
        },
        (("Rest", "还剩", "rest", "t-a"), ("Days", "天数", "days", "rest//p")),
    ),
    Row(
        "rows_of_seats",
        {"a": (3, 50), "b": (3, 9), "c": (2, 60)},
        {
            "en": (
                "A hall has {b} rows of {a} seats. {c} seats are taken. How many are free?",
                "{name} plants {b} rows of {a} trees and {c} of them die. How many trees live?",
            ),
            "zh": (
                "礼堂有{b}排座位，每排{a}个，已坐{c}个，还空多少个？",
                "{name}种了{b}行树，每行{a}棵，死了{c}棵，还有多少棵？",
            ),
        },
        (("All", "总数", "all", "a*b"), ("Left", "还有", "left", "all-c")),
        lambda a, b, c: a * b > c,
    ),
    Row(
        "bus",
        {"a": (10, 80), "b": (2, 40), "c": (2, 40)},
        {
            "en": (
                "A bus carries {a} people. {b} get off and {c} get on. How many people are on the bus now?",
                "{name} has {a} dollars, spends {b} and then earns {c}. How much does {name} have now?",
            ),
            "zh": (
                "公交车上有{a}人，下车{b}人，上车{c}人，现在有多少人？",
                "{name}有{a}元，花了{b}元，又得到{c}元，现在有多少元？",
            ),
        },
        (("After the first", "先剩", "first", "a-b"), ("Now", "现在", "now", "first+c")),
        lambda a, b, c: a > b,
    ),
    Row(
        "older",
        {"a": (20, 50), "b": (1, 18), "n": (2, 40)},
        {
            "en": (
                "{name} is {a} and {other} is {b} years old. How old are they together in {n} years?",
                "Today a father is {a} and his son is {b}. What is the sum of their ages after {n} years?",
            ),
            "zh": (
                "{name}今年{a}岁，{other}{b}岁，{n}年后两人一共多少岁？",
                "爸爸今年{a}岁，儿子{b}岁，{n}年后两人年龄的和是多少？",
            ),
        },
        (("Today", "今年", "today", "a+b"), ("Added", "增加", "added", "n*2"), ("Then", "以后", "then", "today+added")),
    ),
    Row(
        "unit_price",
        {"n": (2, 9), "p": (2, 30), "m": (2, 9), "c": lambda n, p, m: n * p},
        {
            "en": (
                "{n} {things} cost {c} dollars. How much do {m} of them cost?",
                "A machine makes {c} parts in {n} hours. How many parts does it make in {m} hours?",
            ),
            "zh": ("{n}个{things}要{c}元，买{m}个要多少元？", "一台机器{n}小时做{c}个零件，{m}小时做多少个？"),
        },
        (("One", "单位量", "one", "c//n"), ("Result", "结果", "all", "one*m")),
        lambda n, p, m, c: n != m,
    ),
    Row(
        "workers",
        {"n": (2, 12), "k": (2, 15), "t": (2, 9)},
        {
            "en": (
                "{n} workers each make {k} toys an hour. How many toys do they make in {t} hours?",
                "{n} hens each lay {k} eggs a month. How many eggs is that in {t} months?",
            ),
            "zh": (
                "{n}个工人每人每小时做{k}个玩具，{t}小时一共做多少个？",
                "{n}只母鸡每只每月下{k}个蛋，{t}个月一共下多少个蛋？",
            ),
        },
        (("In one", "一份", "one", "n*k"), ("In all", "一共", "all", "one*t")),
    ),
    Row(
        "legs",
        {"a": (2, 60), "b": (2, 60)},
        {
            "en": (
                "A farm has {a} chickens and {b} cows. How many legs do they have in all?",
                "There are {a} ducks and {b} sheep in a field. How many legs is that?",
            ),
            "zh": ("农场有{a}只鸡和{b}头牛，一共有多少条腿？", "草地上有{a}只鸭和{b}只羊，一共有多少条腿？"),
        },
        (
            ("Two legs each", "两条腿的", "two", "a*2"),
            ("Four legs each", "四条腿的", "four", "b*4"),
            ("Legs", "一共", "legs", "two+four"),
        ),
    ),
    Row(
        "minutes",
        {"h": (1, 12), "m": (1, 59)},
        {
            "en": (
                "How many minutes are {h} hours and {m} minutes?",
                "A film takes {h} hours and {m} minutes. How many minutes is that?",
            ),
            "zh": ("{h}小时{m}分钟是多少分钟？", "一部电影长{h}小时{m}分，合多少分钟？"),
        },
        (("Hours", "小时部分", "hours", "h*60"), ("Minutes", "一共", "minutes", "hours+m")),
    ),
    Row(
        "dozens",
        {"n": (2, 30), "m": (1, 11)},
        {
            "en": (
                "{name} has {n} boxes of 12 {things} and {m} single ones. How many {things} are there?",
                "How many {things} are {n} dozen and {m}?",
            ),
            "zh": (
                "{name}有{n}盒{things}，每盒12个，另有{m}个，一共有多少个？",
                "{n}打{things}又{m}个，一打12个，一共几个？",
            ),
        },
        (("Boxes", "整盒", "boxes", "12*n"), ("All", "一共", "all", "boxes+m")),
    ),
    Row(
        "fence",
        {"a": (2, 400)},
        {
            "en": (
                "A square has sides of {a} cm. What is its perimeter?",
                "A fence goes round a square garden of side {a} meters. How long is it?",
            ),
            "zh": ("正方形边长{a}厘米，周长是多少？", "正方形花园边长{a}米，四周的围栏长多少米？"),
        },
        (("Perimeter", "周长", "perimeter", "a*4"),),
    ),
    Row(
        "mixture",
        {"a": (2, 40), "b": (2, 40), "k": (2, 9)},
        {
            "en": (
                "A bag holds {a} red and {b} blue {things}. How many {things} are in {k} such bags?",
                "{name} earns {a} dollars in the morning and {b} in the afternoon. How much is that in {k} days?",
            ),
            "zh": (
                "一袋里有{a}个红{things}和{b}个蓝{things}，{k}袋一共有多少个？",
                "{name}上午挣{a}元，下午挣{b}元，{k}天一共挣多少元？",
            ),
        },
        (("One", "一份", "one", "a+b"), ("All", "一共", "all", "one*k")),
    ),
    Row(
        "start_amount",
        {"b": (5, 200), "c": (5, 200)},
        {
            "en": (
                "{name} gives away {b} {things} and has {c} left. How many did {name} have at first?",
                "After spending {b} dollars {name} has {c} dollars. How much was there at first?",
            ),
            "zh": ("{name}送出{b}个{things}，还剩{c}个，原来有多少个？", "{name}花了{b}元，还剩{c}元，原来有多少元？"),
        },
        (("At first", "原来", "first", "b+c"),),
    ),
    Row(
        "how_many_more",
        {"a": (20, 400), "b": (5, 300)},
        {
            "en": (
                "{name} has {a} {things} and {other} has {b}. How many more does {name} have?",
                "A tower is {a} meters high and a house {b} meters. How much higher is the tower?",
            ),
            "zh": (
                "{name}有{a}个{things}，{other}有{b}个，{name}比{other}多几个？",
                "塔高{a}米，房子高{b}米，塔比房子高多少米？",
            ),
        },
        (("More", "多", "more", "a-b"),),
        lambda a, b: a > b,
    ),
)

KINDS = tuple(kind(row) for row in ROWS)
